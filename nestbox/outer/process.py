"""Another process, as far as /proc shows it: its rights, and those of the processes above it."""

from __future__ import annotations

import os

import msgspec

from nestbox.errors import EnvironmentUnreadable, reason
from nestbox.kernel import procfs, reading
from nestbox.kernel.namespaces import TABLE
from nestbox.outer.ancestry import observe_chain
from nestbox.outer.facts import Ancestor
from nestbox.outer.sources import read_optional


class ProcessFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One process. A field is None, or a name absent, where /proc does not show it to us."""

    itself: Ancestor
    above: tuple[Ancestor, ...]  # from its parent to PID 1
    uids: tuple[int, ...]  # real, effective, saved, file system
    gids: tuple[int, ...]
    filters: int | None  # seccomp filters on it
    label: str | None  # of the security module
    namespaces: dict[str, int]  # inodes by the names of /proc/PID/ns
    foreign: tuple[str, ...]  # the namespaces that are not ours
    cgroups: tuple[str, ...]  # lines of /proc/PID/cgroup
    limits: dict[str, tuple[str, str]]  # "Max open files": soft and hard


def observe_process(pid: int) -> ProcessFacts:
    """Return what /proc says of a process. Source: proc(5).

    Raises:
        EnvironmentUnreadable: there is no such process, or it is hidden from us.
    """
    try:
        text = reading.read_proc(f"/proc/{pid}/status")
        status = procfs.parse_status(text)
        uids, gids = procfs.parse_ids(text, b"Uid"), procfs.parse_ids(text, b"Gid")
    except (OSError, procfs.MalformedText) as error:
        raise EnvironmentUnreadable(
            f"cannot explain process {pid}",
            cause=f"/proc/{pid}/status: "
            + (reason(error) if isinstance(error, OSError) else str(error)),
            remedy="name a process that /proc shows: ps -e",
        ) from error
    chain = observe_chain(pid)
    if not chain:
        raise _gone(pid)
    namespaces = _namespaces(str(pid))
    own = _namespaces("thread-self")
    return ProcessFacts(
        itself=chain[0],
        above=chain[1:],
        uids=uids,
        gids=gids,
        filters=status.seccomp_filters,
        label=_label(pid),
        namespaces=namespaces,
        foreign=tuple(name for name, inode in namespaces.items() if own.get(name) != inode),
        cgroups=tuple((read_optional(f"/proc/{pid}/cgroup") or "").splitlines()),
        limits=procfs.parse_limits(_optional_bytes(f"/proc/{pid}/limits")),
    )


def _gone(pid: int) -> EnvironmentUnreadable:
    return EnvironmentUnreadable(
        f"cannot explain process {pid}",
        cause="it ended while it was looked at",
        remedy="name a process that /proc shows: ps -e",
    )


def _namespaces(process: str) -> dict[str, int]:
    found = {}
    for row in TABLE:
        try:
            found[row.name] = os.stat(f"/proc/{process}/ns/{row.name}").st_ino
        except OSError:
            continue
    return found


def _label(pid: int) -> str | None:
    text = read_optional(f"/proc/{pid}/attr/current")
    return text.rstrip("\0\n") or None if text else None


def _optional_bytes(path: str) -> bytes:
    try:
        return reading.read_proc(path)
    except OSError:
        return b""
