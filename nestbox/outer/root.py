"""The root file system of a launch, looked at before anything is created.

A root may be hostile: its links may point anywhere, and its files may be pipes, devices or endless.
So every path in it is resolved by the kernel inside it (openat2 with RESOLVE_IN_ROOT), looked at
by descriptor before it is opened, and read with a limit.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from nestbox.errors import UsageError, reason
from nestbox.kernel import procfs, reading, syscalls
from nestbox.kernel.constants import (
    AT_EACCESS,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    VFS_CAP_FLAGS_EFFECTIVE,
    VFS_CAP_REVISION_1,
    VFS_CAP_REVISION_2,
    VFS_CAP_REVISION_3,
    VFS_CAP_REVISION_MASK,
)
from nestbox.outer.facts import Program, RootFacts

FILE_LIMIT_BYTES = 1 << 20
_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_RACES_LIMIT = 32
_INTERPRETER_LIMIT = 5  # how often the kernel follows "#!" (fs/exec.c)
_SCRIPT_BYTES = 256  # BINPRM_BUF_SIZE

# What a path that leads nowhere answers.
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})

# Little-endian words of security.capability by revision: how many, and how many words of a set.
_LAYOUTS = {VFS_CAP_REVISION_1: (3, 1), VFS_CAP_REVISION_2: (5, 2), VFS_CAP_REVISION_3: (6, 2)}


def parse_file_capabilities(value: bytes, root_uid: int = 0) -> tuple[int, int, bool] | None:
    """Return permitted, inheritable and the effective bit of a security.capability attribute.

    None when the kernel would not use it: it is malformed, or (revision 3) belongs to a user
    namespace whose root is not ``root_uid``. Source: capabilities(7), "File capability extended
    attribute versioning"; include/uapi/linux/capability.h.
    """
    if len(value) < 4 or len(value) % 4:
        return None
    words = struct.unpack(f"<{len(value) // 4}I", value)
    layout = _LAYOUTS.get(words[0] & VFS_CAP_REVISION_MASK)
    if layout is None or layout[0] != len(words):
        return None
    if words[0] & VFS_CAP_REVISION_MASK == VFS_CAP_REVISION_3 and words[5] != root_uid:
        return None
    permitted, inheritable = words[1], words[2]
    if layout[1] == 2:
        permitted |= words[3] << 32
        inheritable |= words[4] << 32
    return permitted, inheritable, bool(words[0] & VFS_CAP_FLAGS_EFFECTIVE)


def _open_root(directory: str) -> int:
    """Return a descriptor of the root directory. Raises UsageError."""
    what = f"cannot use {directory} as a root file system"
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except ValueError as error:
        raise UsageError(
            what, cause="the path holds a null byte", remedy="give the path of a directory"
        ) from error
    except NotADirectoryError as error:
        raise UsageError(
            what, cause="it is not a directory", remedy="unpack it and give the directory"
        ) from error
    except OSError as error:
        raise UsageError(
            what, cause=reason(error), remedy="give the path of a directory that exists"
        ) from error
    try:
        syscalls.faccessat2(fd, ".", os.R_OK | os.X_OK, AT_EACCESS)
    except OSError as error:
        os.close(fd)
        raise UsageError(
            what,
            cause=f"it cannot be searched: {reason(error)}",
            remedy="let the user who runs nestbox read it, or give another one",
        ) from error
    return fd


def _open_inside(root: int, path: str) -> int | None:
    """Return a descriptor (O_PATH) of a path inside the root, None when it leads nowhere.

    Raises OSError for anything else, such as a directory that may not be searched.
    """
    for _ in range(_RACES_LIMIT):
        try:
            return syscalls.openat2(root, path, os.O_PATH | os.O_CLOEXEC, resolve=_RESOLVE)
        except BlockingIOError:  # a rename elsewhere made the kernel doubt a ".."
            continue
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
    raise OSError(errno.EAGAIN, "it keeps being renamed")


def _reopen(fd: int) -> int:
    """Return a descriptor that reads the regular file that a descriptor (O_PATH) stands for."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(f"/proc/self/fd/{fd}", flags)


def _read_regular(fd: int) -> bytes:
    """Return the content of a descriptor (O_PATH) of a regular file. Raises OSError."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    readable = _reopen(fd)
    try:
        return reading.read_descriptor(readable, FILE_LIMIT_BYTES)
    finally:
        os.close(readable)


def _read_text(root: int, directory: str, path: str) -> str | None:
    """Return the text of a file inside the root, None without it. Raises UsageError."""
    try:
        fd = _open_inside(root, path)
        if fd is None:
            return None
        try:
            return procfs.decode(_read_regular(fd))
        finally:
            os.close(fd)
    except OSError as error:
        raise UsageError(
            f"cannot read /{path} of the root {directory}",
            cause=reason(error),
            remedy=f"make it a regular file below {FILE_LIMIT_BYTES} bytes, or remove it",
        ) from error


def _text_or_none(root: int, directory: str, path: str) -> str | None:
    try:
        return _read_text(root, directory, path)
    except UsageError:
        return None


def _is_program(fd: int) -> bool:
    """Return whether a descriptor stands for a regular file that somebody may execute."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) and mode & 0o111 != 0


def _open_program(root: int, path: str) -> int | None:
    """Return a descriptor (O_PATH) of a program inside the root, None when it is none."""
    try:
        fd = _open_inside(root, path)
    except (OSError, ValueError):
        return None
    if fd is None or _is_program(fd):
        return fd
    os.close(fd)
    return None


def _interpreter(fd: int) -> str | None:
    """Return the interpreter that a script names on its first line, None for another program."""
    try:
        readable = _reopen(fd)
    except OSError:
        return None
    try:
        start = os.read(readable, _SCRIPT_BYTES)
    finally:
        os.close(readable)
    if not start.startswith(b"#!"):
        return None
    words = start[2:].split(b"\n", 1)[0].split(None, 1)
    return os.fsdecode(words[0]) if words else None


def _follow_interpreters(root: int, fd: int) -> int:
    """Return the descriptor of the file whose rights count: a script's are its interpreter's.

    Closes the descriptor that it was given when it returns another one.
    """
    for _ in range(_INTERPRETER_LIMIT):
        path = _interpreter(fd)
        following = None if path is None else _open_program(root, path)
        if following is None:
            break
        os.close(fd)
        fd = following
    return fd


def _file_capabilities(fd: int, root_uid: int) -> tuple[int, int, bool] | None:
    """Return what the attribute of a file grants, None without one."""
    try:
        value = os.getxattr(f"/proc/self/fd/{fd}", "security.capability")
    except OSError:
        return None
    return parse_file_capabilities(value, root_uid)


def _describe(path: str, fd: int, root_uid: int) -> Program:
    """Return what an exec of a file takes from it. Source: fs/exec.c, bprm_fill_uid."""
    facts = os.fstat(fd)
    capabilities = _file_capabilities(fd, root_uid)
    permitted, inheritable, effective = capabilities or (0, 0, False)
    changes_group = facts.st_mode & stat.S_ISGID and facts.st_mode & stat.S_IXGRP
    return Program(
        path=path,
        setuid=facts.st_uid if facts.st_mode & stat.S_ISUID else None,
        setgid=facts.st_gid if changes_group else None,
        has_file_capabilities=capabilities is not None,
        file_permitted=permitted,
        file_inheritable=inheritable,
        file_effective=effective,
    )


def _find_program(root: int, candidates: tuple[str, ...], root_uid: int) -> Program | None:
    """Return the first program among the candidates, with the rights that its exec would use."""
    for path in candidates:
        fd = _open_program(root, path)
        if fd is None:
            continue
        fd = _follow_interpreters(root, fd)
        try:
            return _describe(path, fd, root_uid)
        finally:
            os.close(fd)
    return None


def read_inside(directory: str, path: str) -> str | None:
    """Return the text of a regular file inside a root, None without it. Raises UsageError."""
    root = _open_root(directory)
    try:
        return _read_text(root, directory, path.lstrip("/"))
    finally:
        os.close(root)


def observe_root(
    directory: str,
    candidates: tuple[str, ...],
    *,
    root_uid: int = 0,
    looks_up_names: bool = True,
) -> RootFacts:
    """Return what a launch needs to know of a root. Raises UsageError when it cannot be one.

    ``search_path`` and ``working_directory`` are the container's. ``root_uid`` is who is root of
    the container's user namespace, in our ids: file capabilities may belong to one namespace only.
    Where users are numbers, so that names are not looked up, a passwd file that cannot be read is
    as good as none: nobody keeps others out of his container by such a file.
    """
    root = _open_root(directory)
    try:
        if looks_up_names:
            passwd = _read_text(root, directory, "etc/passwd")
            group = _read_text(root, directory, "etc/group")
        else:
            passwd, group = _text_or_none(root, directory, "etc/passwd"), None
        return RootFacts(
            directory=os.readlink(f"/proc/self/fd/{root}"),
            passwd=passwd,
            group=group,
            program=_find_program(root, candidates, root_uid),
        )
    finally:
        os.close(root)
