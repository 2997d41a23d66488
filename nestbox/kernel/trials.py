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


def try_overlay(
    lower: str, directory: str, kind: Overlay, *, limit_ms: int = LIMIT_MS
) -> str | None:
    """Return the error of making an overlay over ``lower``; nothing of it is left mounted.

    For Overlay.DIRECTORY, ``directory`` holds the directories "upper" and "work"; for the others
    it is covered by a tmpfs that only the child sees.
    """
    result = lib.nb_try_overlay(os.fsencode(lower), os.fsencode(directory), kind, limit_ms)
    return _outcome(result)


def try_mknod(directory: str, *, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of making and opening a device node on a tmpfs over ``directory``."""
    return _outcome(lib.nb_try_mknod(os.fsencode(directory), limit_ms))


def try_oom_score(score: int, *, limit_ms: int = LIMIT_MS) -> str | None:
    """Return the error of setting an oom_score_adj; no score but the child's is changed."""
    return _outcome(lib.nb_try_oom_score(str(score).encode(), limit_ms))


def syscall_names() -> tuple[str, ...]:
    """Return the names of the system calls that a launch needs, in the order of their trial."""
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
