"""The processes above us, as far as /proc shows them: who lost which right."""

from __future__ import annotations

import os

from nestbox.kernel import procfs, reading
from nestbox.outer.facts import Ancestor
from nestbox.outer.sources import Sources, sets_of

_DEPTH_LIMIT = 1024  # a chain that changes while it is read cannot go on for ever


def _namespace_inode(pid: int) -> int | None:
    """Return the inode of a process's user namespace, None when it may not be read."""
    try:
        return os.stat(f"/proc/{pid}/ns/user").st_ino
    except OSError:
        return None


def _read(pid: int) -> tuple[Ancestor, int] | None:
    """Return a process and its parent's id; None when it is gone or hidden (hidepid)."""
    try:
        status = procfs.parse_status(reading.read_proc(f"/proc/{pid}/status"))
    except (OSError, procfs.MalformedText):
        return None
    ancestor = Ancestor(
        pid=pid,
        name=status.name,
        sets=sets_of(status),
        no_new_privs=status.no_new_privs is True,
        seccomp_mode=status.seccomp or 0,
        user_namespace=_namespace_inode(pid),
    )
    return ancestor, status.ppid


def observe_chain(pid: int) -> tuple[Ancestor, ...]:
    """Return a process and the visible ones above it, up to PID 1; empty when it is hidden.

    As `observe_ancestry`, for another process than this one.
    """
    read = _read(pid)
    return () if read is None else (read[0], *_above(pid, read[1]))


def observe_ancestry(sources: Sources) -> tuple[Ancestor, ...]:
    """Return the visible processes from our parent to PID 1, innermost first.

    The chain ends early where /proc hides a process or a parent lies outside the pid namespace (as
    for a process that was started into a container). PID 1 is then still the last entry when it is
    visible and not ourselves: its sets are those that the environment was made with.
    """
    return _above(os.getpid(), sources.status.ppid)


def _above(pid: int, parent: int) -> tuple[Ancestor, ...]:
    found: list[Ancestor] = []
    seen = {pid}
    while parent > 0 and parent not in seen and len(found) < _DEPTH_LIMIT:
        seen.add(parent)
        read = _read(parent)
        if read is None:
            break
        found.append(read[0])
        parent = read[1]
    if 1 not in seen and (first := _read(1)) is not None:
        found.append(first[0])
    return tuple(found)
