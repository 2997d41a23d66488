"""The texts of /proc that several subjects are made from, each read once for one observation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TypeVar

from nestbox.errors import EnvironmentUnreadable
from nestbox.kernel import procfs, reading
from nestbox.kernel.proc_marks import has_marks_of_proc
from nestbox.outer.facts import CapabilitySets, Mount

_Value = TypeVar("_Value")

_MOUNT_PROC = "mount the kernel's own: mount -t proc proc /proc"


def unreadable(path: str, error: OSError | ValueError) -> EnvironmentUnreadable:
    """Return the error for a file of the kernel that must be read and cannot be."""
    what = f"cannot observe the outer environment from {path}"
    if isinstance(error, procfs.MalformedText):
        return EnvironmentUnreadable(
            what,
            cause=f"the text is not what the kernel documents: {error}",
            remedy="check what is mounted there: findmnt -T " + path,
        )
    if isinstance(error, reading.NotProcfs):
        return EnvironmentUnreadable(
            what, cause="it is not on a proc file system", remedy=_MOUNT_PROC
        )
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return EnvironmentUnreadable(what, cause="it does not exist", remedy=_MOUNT_PROC)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return EnvironmentUnreadable(
        what,
        cause=reason.lower(),
        remedy="let this process read its own /proc: check hidepid and the security module",
    )


def read_proc(path: str, parse: Callable[[bytes], _Value]) -> _Value:
    """Return the parsed content of a file of /proc. Raises EnvironmentUnreadable."""
    try:
        return parse(reading.read_proc(path))
    except (OSError, procfs.MalformedText) as error:
        raise unreadable(path, error) from error


def require_proc() -> None:
    """Make sure that /proc answers, before anything is read from it.

    What has not the outward marks of the kernel's own is read by a child first, for which there is
    a time limit: a file system of a server can hold who looks at it for ever.

    Raises:
        EnvironmentUnreadable: it does not answer.
    """
    try:
        if has_marks_of_proc("/proc"):
            return
    except OSError as error:
        raise unreadable("/proc", error) from error
    from nestbox.kernel.trials import LIMIT_MS, try_read

    if try_read("/proc/thread-self/status") == "TIMEOUT":
        raise EnvironmentUnreadable(
            "cannot observe the outer environment from /proc",
            cause=f"a read did not end within {LIMIT_MS / 1000:g} seconds: it is no proc file "
            "system, or its server hangs",
            remedy=_MOUNT_PROC,
        )


def read_optional(path: str) -> str | None:
    """Return the text of a file that need not exist, without the white space around it."""
    try:
        return procfs.decode(reading.read_file(path)).strip("\0\n\t ")
    except OSError:
        return None


def sets_of(status: procfs.Status) -> CapabilitySets:
    """Return the five capability sets of a status file."""
    return CapabilitySets(
        inheritable=status.inheritable,
        permitted=status.permitted,
        effective=status.effective,
        bounding=status.bounding,
        ambient=status.ambient,
    )


# The same text has the same meaning: a process that launches many containers sees it each time.
@lru_cache(maxsize=4)
def _mounts(text: bytes) -> tuple[Mount, ...]:
    """Return the mounts of a mountinfo file as facts."""
    return tuple(
        [
            Mount(
                id=line.id,
                parent=line.parent,
                device=line.device,
                root=line.root,
                target=line.target,
                options=line.options,
                propagation=line.propagation,
                fstype=line.fstype,
                source=line.source,
                super_options=line.super_options,
            )
            for line in procfs.parse_mountinfo(text)
        ]
    )


class Sources:
    """What one observation has read so far. Every attribute raises EnvironmentUnreadable."""

    @cached_property
    def status(self) -> procfs.Status:
        """The status of this thread."""
        return read_proc("/proc/thread-self/status", procfs.parse_status)

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """The mounts that this thread sees."""
        return read_proc("/proc/thread-self/mountinfo", _mounts)

    @cached_property
    def cgroups(self) -> tuple[procfs.CgroupLine, ...]:
        """The cgroups that this thread is in."""
        return read_proc("/proc/thread-self/cgroup", procfs.parse_cgroup)
