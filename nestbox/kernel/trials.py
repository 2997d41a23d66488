"""Trials in a throwaway child, as values: which errno answered, or how the child ended.

The children are made and reaped in C (trial_child.c), so that a trial is safe in a process with
threads and is over in about half a millisecond. ``limit_ms`` is how long a child may take.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum

from nestbox.kernel._syscalls import ffi, lib

LIMIT_MS = 2000


class Overlay(IntEnum):
    """Where the upper layer of a tried overlay is, and in which user namespace."""

    DIRECTORY = lib.NB_OVERLAY_DIRECTORY
    TMPFS = lib.NB_OVERLAY_TMPFS
    USER = lib.NB_OVERLAY_USER
    USER_DIRECTORY = lib.NB_OVERLAY_USER_DIRECTORY


_MAX_WRITES = 128  # TRIAL_RESULTS

# In the order of enum nb_user_step: unshare(2), three files of /proc/self, and uses of its rights.
USER_STEPS = ("make", "setgroups", "uid_map", "gid_map", "rights", "mount")

_VERDICTS: dict[int, str] = {lib.NB_TRIAL_KILLED: "KILLED", lib.NB_TRIAL_TIMEOUT: "TIMEOUT"}


def error_name(number: int) -> str:
    """Return the name of an errno, ``"EPERM"`` for 1; E and the number for one without a name."""
    return errno.errorcode.get(number, f"E{number}")


def _outcome(result: int) -> str | None:
    """Return None for a trial that worked, else the errno's name, "KILLED" or "TIMEOUT".

    Raises OSError when the child itself could not be made.
    """
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    if result == 0:
        return None
    return _VERDICTS.get(result) or error_name(result)


def try_unshare(flags: int, *, in_user_namespace: bool, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of making these namespaces. Raises OSError as above."""
    return _outcome(lib.nb_try_unshare(flags, in_user_namespace, limit_ms))


def try_user_steps(*, limit_ms: int = LIMIT_MS) -> dict[str, str | None]:
    """Return the error of each step to a user namespace of use, up to the first that fails.

    The names are those of `USER_STEPS`; None is a step that works. Raises OSError as above.
    """
    results = ffi.new("int32_t[]", len(USER_STEPS))
    _outcome(lib.nb_try_user_steps(results, limit_ms))
    return {
        name: _outcome(result)
        for name, result in zip(USER_STEPS, results, strict=True)
        if result != lib.NB_TRIAL_LEFT_OUT
    }


def try_writes(
    values: dict[str, str], flags: int, *, in_user_namespace: bool, limit_ms: int = LIMIT_MS
) -> dict[str, str | None]:
    """Return by path the error of writing each value, in new namespaces of these kinds.

    A path is left out where the namespaces cannot be made or the child did not come to it, and
    beyond the first 128. Raises OSError as above.
    """
    paths = list(values)[:_MAX_WRITES]
    held = [ffi.new("char[]", os.fsencode(text)) for path in paths for text in (path, values[path])]
    results = ffi.new("int32_t[]", len(paths))
    result = lib.nb_try_writes(
        ffi.new("const char *[]", held[::2]),
        ffi.new("const char *[]", held[1::2]),
        len(paths),
        flags,
        in_user_namespace,
        results,
        limit_ms,
    )
    _outcome(result)
    return {
        path: _outcome(number)
        for path, number in zip(paths, results, strict=True)
        if number != lib.NB_TRIAL_LEFT_OUT
    }


def try_overlay(
    lower: str, directory: str, kind: Overlay, *, limit_ms: int = LIMIT_MS
) -> str | None:
    """Return the error of making an overlay over ``lower``; nothing of it is left mounted.

    For the kinds with DIRECTORY, ``directory`` holds the directories "upper" and "work"; for the
    others it is covered by a tmpfs that only the child sees. A ``lower`` of "lower" is an empty
    directory on that tmpfs.
    """
    result = lib.nb_try_overlay(os.fsencode(lower), os.fsencode(directory), kind, limit_ms)
    return _outcome(result)


def try_fresh(
    fstype: str,
    flags: int,
    *,
    readonly: bool,
    in_user_namespace: bool,
    limit_ms: int = LIMIT_MS,
) -> str | None:
    """Return the error of mounting a new file system of this type in namespaces of these flags.

    It is attached nowhere. Raises OSError as above.
    """
    name = fstype.encode()
    return _outcome(lib.nb_try_fresh(name, flags, readonly, in_user_namespace, limit_ms))


def try_read(path: str, *, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of opening and reading a file: "TIMEOUT" where a server does not answer."""
    return _outcome(lib.nb_try_read(os.fsencode(path), limit_ms))


def try_mknod(directory: str, *, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of making and opening a device node on a tmpfs over ``directory``."""
    return _outcome(lib.nb_try_mknod(os.fsencode(directory), limit_ms))


def try_link(*, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of making a veth link in a new network namespace."""
    return _outcome(lib.nb_try_link(limit_ms))


def try_oom_score(score: int, *, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of setting an oom_score_adj; no score but the child's is changed."""
    return _outcome(lib.nb_try_oom_score(str(score).encode(), limit_ms))


def fallback_names() -> frozenset[str]:
    """Return the names of the tried calls that libraries fall back from and no launch needs."""
    return frozenset(
        name for index, name in enumerate(syscall_names()) if lib.nb_trial_is_fallback(index)
    )


def syscall_numbers() -> dict[str, int]:
    """Return the number of each system call that is tried, on this architecture."""
    return {name: lib.nb_trial_number(index) for index, name in enumerate(syscall_names())}


def audit_architecture() -> int | None:
    """Return what seccomp_data has as the architecture of these numbers, None when unknown."""
    return lib.nb_audit_architecture() or None


def syscall_names() -> tuple[str, ...]:
    """Return the names of all system calls that are tried, in the order of their trial."""
    names: list[str] = []
    while name := lib.nb_trial_syscall(len(names)):
        names.append(ffi.string(name).decode())
    return tuple(names)


def try_syscalls(*, can_setgroups: bool, limit_ms: int = LIMIT_MS) -> dict[str, str | None]:
    """Return by name the error of each system call: "ENOSYS", "EPERM", "KILLED" or "TIMEOUT".

    None shows that the kernel was reached. A call is left out where the kernel's own EPERM could
    not be told from a filter's.
    """
    names = syscall_names()
    results = ffi.new("int32_t[]", len(names))
    _outcome(lib.nb_try_syscalls(results, len(names), can_setgroups, limit_ms))
    return {
        name: _outcome(result)
        for name, result in zip(names, results, strict=True)
        if result != lib.NB_TRIAL_LEFT_OUT
    }
