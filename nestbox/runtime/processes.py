"""Processes as they are kept: a pid, and when it started, so that no other is taken for it."""

from __future__ import annotations

import os

from nestbox.errors import LaunchError

_START_TIME_FIELD = 22  # proc_pid_stat(5)
_STATE_FIELD = 3
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_DEAD = (b"Z", b"X", b"x")


class Process:
    """A process as our pid namespace shows it; ``start`` is in clock ticks after boot."""

    __slots__ = ("pid", "start")

    def __init__(self, *, pid: int, start: int) -> None:
        self.pid = pid
        self.start = start


def require_own_proc() -> None:
    """Refuse a /proc of another pid namespace, where /proc/PID is not the process that we mean.

    What is written there, as id maps and scores, would be somebody else's from then on.

    Raises:
        LaunchError: /proc shows us under another number, or not at all.
    """
    try:
        shown = os.readlink("/proc/self")
    except OSError:
        shown = "nothing"
    if shown != str(os.getpid()):
        raise LaunchError(
            "cannot reach the container's process through /proc",
            cause=f"/proc is that of another pid namespace: /proc/self is {shown}, and we are "
            f"{os.getpid()}",
            remedy="mount one that is ours: unshare --mount-proc, or mount -t proc proc /proc",
        )


def read_process(path: str) -> Process | None:
    """Return the process that a link of the form PID:START names, None when there is none."""
    try:
        pid, _, start = os.readlink(path).partition(":")
        return Process(pid=int(pid), start=int(start))
    except (OSError, ValueError):
        return None


def is_alive(process: Process) -> bool:
    """Whether it is there and no zombie."""
    fields = _fields(process.pid)
    return (
        fields is not None
        and int(fields[_START_TIME_FIELD - _STATE_FIELD]) == process.start
        and fields[0] not in _DEAD
    )


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks after boot; None when there is none."""
    fields = _fields(pid)
    return None if fields is None else int(fields[_START_TIME_FIELD - _STATE_FIELD])


def _fields(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    # The name in parentheses may hold anything, so fields count from the last parenthesis.
    return text.rpartition(b")")[2].split()


def boot_id() -> str:
    """Return the id of this boot: what a state of another one names is gone but for files."""
    with open(_BOOT_ID, "rb", buffering=0) as file:
        return file.read().decode().strip()


def pid_namespace() -> int:
    """Return the inode of the pid namespace that our pids are of."""
    return os.stat("/proc/self/ns/pid").st_ino
