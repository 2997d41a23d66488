"""Seccomp filters as the bytes that the kernel takes, compiled once and then kept in files.

Compiling costs about ten milliseconds and loads libseccomp; a kept program costs one small read.

Source: seccomp(2), seccomp_export_bpf(3).
"""

from __future__ import annotations

import errno
import os
import stat
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import ProfileError
from nestbox.oci.seccomp import LinuxSeccomp
from nestbox.runtime.seccomp_cache import KeptFilter, digest, keep, read_all, read_kept

if TYPE_CHECKING:
    from nestbox.oci.seccomp_profile import SeccompProfile

_SHIPPED: Final = frozenset({"default", "strict"})
_MAX_KEPT: Final = 64  # programs kept in memory
_REVISION: Final = b"1"  # to be raised when the same filter is compiled to another program


class FilterOrigin(StrEnum):
    """Where a program came from, for the record."""

    COMPILED = "compiled"
    FILE = "file"
    MEMORY = "memory"


class CompiledFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter as the kernel takes it."""

    program: bytes  # an array of struct sock_filter
    flags: int  # of seccomp(2), kernel.libseccomp.FilterFlag
    unknown: tuple[str, ...]  # syscalls and architectures that libseccomp does not know: left out
    origin: FilterOrigin


_memory: dict[bytes, KeptFilter] = {}  # a pure function's results by the digest of its argument


def read_profile(path: str) -> SeccompProfile:
    """Return the profile in a JSON file.

    Raises:
        ProfileError: the file cannot be read or is no seccomp profile.
    """
    # Only who names a profile pays for reading it.
    from nestbox.oci.seccomp_profile import MAX_PROFILE_BYTES, parse_profile

    try:
        # Not blocking: opening a FIFO would otherwise wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            data = read_all(fd, MAX_PROFILE_BYTES + 1)
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise ProfileError(
            f"cannot read the seccomp profile {path!r}",
            cause=str(cause).lower(),
            remedy="name a readable JSON file, or seccomp=unconfined",
        ) from error
    return parse_profile(data, source=path)


def read_named(wanted: str) -> SeccompProfile | None:
    """Return the filter that a profile or a flag names: shipped, a file's, or None for unconfined.

    Raises:
        UsageError: it cannot be read, or is no filter.
    """
    if wanted == "unconfined":
        return None
    if wanted in _SHIPPED:
        return _read_shipped(wanted)
    return read_profile(wanted)


@cache
def _read_shipped(name: str) -> SeccompProfile:
    from nestbox.policy.shipped_profiles import seccomp_file

    return read_profile(seccomp_file(name))


def compile_filter(seccomp: LinuxSeccomp, *, cache_directory: str | None) -> CompiledFilter:
    """Return the program of a filter, from memory, from a file, or freshly compiled.

    Args:
        seccomp: the filter.
        cache_directory: where programs are kept, made when absent; one that others could write
            to is not used. None keeps nothing on disk.

    Raises:
        ProfileError: the filter contradicts itself or is too large for the kernel.
        Refused: libseccomp is missing.
    """
    key = _key(seccomp)
    kept, origin = _memory.get(key), FilterOrigin.MEMORY
    if kept is None and cache_directory is not None:
        kept, origin = read_kept(cache_directory, key), FilterOrigin.FILE
    if kept is None:
        # Only who has nothing kept pays for libseccomp.
        from nestbox.runtime.seccomp_compile import compile_program

        kept, origin = compile_program(seccomp), FilterOrigin.COMPILED
        if cache_directory is not None:
            keep(cache_directory, key, kept)
    if len(_memory) >= _MAX_KEPT:
        _memory.clear()
    _memory[key] = kept
    return CompiledFilter(
        program=kept.program, flags=kept.flags, unknown=kept.unknown, origin=origin
    )


def forget_filters() -> None:
    """Empty the memory of compiled filters; files stay."""
    _memory.clear()


def _key(seccomp: LinuxSeccomp) -> bytes:
    """Return the digest that names a filter's program.

    The library's version is no part of it: that would mean to load the library. Its file is
    compared instead, when a kept program is read.
    """
    machine = os.uname().machine.encode()
    return digest(b"\0".join((_REVISION, machine, msgspec.json.encode(seccomp))))
