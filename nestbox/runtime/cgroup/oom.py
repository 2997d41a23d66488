"""Being told when a container runs out of memory.

Version 1 writes to an eventfd(2), version 2 makes memory.events ready for poll(2).

Source: Documentation/admin-guide/cgroup-v1/memory.rst 9 and 10; cgroup-v2.rst.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.files import read, value_of, write

if TYPE_CHECKING:
    from types import TracebackType

    from nestbox.policy.config.cgroup_location import CgroupLocation

OOM = "oom"
ENDED = "ended"  # the container's processes or its cgroup are gone
_V1_CONTROL = "memory.oom_control"
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a state may name a pipe
_BYTES = 4096


class OomEvents:
    """What happens to a container's memory; to be closed, or used in a ``with``."""

    def __init__(self, location: CgroupLocation) -> None:
        """Begin to listen. Raises LaunchError without a memory controller."""
        key = UNIFIED if location.version == 2 else "memory"
        directory = location.directories.get(key)
        if directory is None:
            raise _failed("memory controller missing")
        self._directory = directory
        self._unified = location.version == 2
        self._opened: list[int] = []
        self._kills = 0
        try:
            self._open()
        except OSError as error:
            self.close()
            raise _failed(reason(error)) from error

    def __enter__(self) -> OomEvents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def descriptors(self) -> tuple[tuple[int, int], ...]:
        """What to poll(2) for: descriptors and events; after one is ready, call ``take``."""
        if self._unified:
            return tuple((fd, select.POLLPRI) for fd in self._opened)
        return ((self._opened[0], select.POLLIN),)

    def wait(self, timeout_seconds: float | None = None) -> str | None:
        """Return OOM or ENDED when that happens, None when the time is over before."""
        poll = select.poll()
        for fd, events in self.descriptors:
            poll.register(fd, events)
        # A file of a cgroup can be ready for another key's sake, and what is over already is not.
        while (happened := self.take()) is None:
            if not poll.poll(None if timeout_seconds is None else timeout_seconds * 1000):
                return None
        return happened

    def take(self) -> str | None:
        """Return what has happened since the last call: OOM, ENDED or None."""
        return self._take_unified() if self._unified else self._take_v1()

    def close(self) -> None:
        """Listen no more."""
        while self._opened:
            os.close(self._opened.pop())

    def _open(self) -> None:
        if self._unified:
            for name in ("memory.events", "cgroup.events"):
                self._opened.append(os.open(f"{self._directory}/{name}", _READING))
            self._kills = value_of(self._text(0), "oom_kill")
            self._text(1)  # only what changes after it was read makes it ready
            return
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._opened.append(event)
        control = os.open(f"{self._directory}/{_V1_CONTROL}", _READING)
        self._opened.append(control)
        write(self._directory, "cgroup.event_control", f"{event} {control}")

    def _text(self, place: int) -> str:
        return os.pread(self._opened[place], _BYTES, 0).decode()

    def _take_unified(self) -> str | None:
        try:
            kills = value_of(self._text(0), "oom_kill")
            populated = value_of(self._text(1), "populated")
        except OSError:
            return ENDED
        if kills > self._kills:
            self._kills = kills
            return OOM
        return None if populated else ENDED

    def _take_v1(self) -> str | None:
        try:
            os.eventfd_read(self._opened[0])
        except BlockingIOError:
            return None
        # The kernel writes to it once more when the cgroup is removed.
        return OOM if os.path.exists(f"{self._directory}/cgroup.event_control") else ENDED


def oom_kills(location: CgroupLocation) -> int:
    """Return how many processes the kernel has killed for want of memory; 0 where it does not say.

    The count of version 2 covers the cgroups below it too.
    """
    key, file = (UNIFIED, "memory.events") if location.version == 2 else ("memory", _V1_CONTROL)
    try:
        return value_of(read(location.directories[key], file), "oom_kill")
    except (OSError, KeyError):
        return 0


def _failed(cause: str) -> LaunchError:
    return LaunchError(
        "cannot listen for out-of-memory events",
        cause=cause,
        remedy="let the outer environment delegate the memory controller",
    )
