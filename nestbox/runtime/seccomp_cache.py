"""Compiled seccomp filters kept as files: read only when nobody else can have written them.

A file holds the program, the identity of the libseccomp that made it, and a checksum. It is
trusted when it and its directory belong to this user and no other can write to them; anything
else, and any damage, counts as absent.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

import msgspec

try:  # hashlib loads OpenSSL, three milliseconds at each start of the command
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

_MAGIC: Final = b"nestbox seccomp 1\n"  # raised with every change of what follows it
_DIGEST_BYTES: Final = 32
_MAX_FILE_BYTES: Final = 1 << 20


class LibraryFile(msgspec.Struct, frozen=True, array_like=True):
    """Which file libseccomp was loaded from: another one can compile another program."""

    path: str
    device: int
    inode: int
    size: int
    modified_ns: int


class KeptFilter(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a cache file holds: a program, and the library that made it."""

    library: LibraryFile
    version: str  # of libseccomp, for whoever looks into the file
    program: bytes
    flags: int
    unknown: tuple[str, ...]


def digest(data: bytes) -> bytes:
    """Return a digest that names data: different data has another one."""
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


def identify(path: str) -> LibraryFile:
    """Return the identity of a library's file; raises OSError when it is not there."""
    status = os.stat(path)
    return LibraryFile(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read_kept(directory: str, key: bytes) -> KeptFilter | None:
    """Return a kept program, or None when there is none that can be trusted."""
    try:
        parent = _open_directory(directory)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(_file_name(key), flags, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            status = os.fstat(fd)
            if not (stat.S_ISREG(status.st_mode) and _is_ours_alone(status)):
                return None
            text = read_all(fd, _MAX_FILE_BYTES)
        finally:
            os.close(fd)
        return _decode(text, key)
    except OSError:
        return None  # absent, or its library is gone: compiled anew


def _decode(text: bytes, key: bytes) -> KeptFilter | None:
    """Return what a cache file holds, or None when it is damaged or of another library."""
    start = len(_MAGIC) + _DIGEST_BYTES
    body = text[start:]
    if text[:start] != _MAGIC + digest(key + body):
        return None
    # Untyped: the checksum shows it is our own writing, and a typed decoder takes 0.2 ms to make.
    library, version, program, flags, unknown = msgspec.msgpack.decode(body)
    kept = KeptFilter(
        library=LibraryFile(*library),
        version=version,
        program=program,
        flags=flags,
        unknown=tuple(unknown),
    )
    return kept if identify(kept.library.path) == kept.library else None


def keep(directory: str, key: bytes, kept: KeptFilter) -> None:
    """Write a program to its file, or leave it: the next launch then compiles again."""
    body = msgspec.msgpack.encode(kept)
    name = _file_name(key)
    # One name for all writers of one filter: they write the same, and a crash leaves no heap.
    temporary = f".{name}.new"
    try:
        if not os.path.isdir(directory):
            os.mkdir(directory, 0o700)
        parent = _open_directory(directory)
        try:
            _write(parent, temporary, _MAGIC + digest(key + body) + body)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            os.close(parent)
    except OSError:
        return


def _write(parent: int, name: str, text: bytes) -> None:
    """Write a file whole, or leave none."""
    fd = os.open(
        name,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=parent,
    )
    try:
        if os.write(fd, text) != len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.unlink(name, dir_fd=parent)
        raise
    finally:
        os.close(fd)


def _open_directory(path: str) -> int:
    """Return a descriptor of the cache; raises OSError when others could have written to it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if _is_ours_alone(os.fstat(fd)):
        return fd
    os.close(fd)
    raise OSError(errno.EPERM, "writable by others", path)


def _is_ours_alone(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _file_name(key: bytes) -> str:
    return f"{key.hex()}.bpf"


def read_all(fd: int, limit: int) -> bytes:
    """Return the file's content, at most limit bytes of it."""
    parts: list[bytes] = []
    while limit > 0 and (part := os.read(fd, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)
