"""events: what a container uses, from time to time, and when it runs out of memory."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

import msgspec

from nestbox.errors import NestboxError, StateError
from nestbox.kernel.signals import open_process
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.runtime.cgroup.oom import ENDED, OOM, OomEvents
from nestbox.runtime.cgroup.statistics import statistics
from nestbox.runtime.cgroup.stats import Stats
from nestbox.runtime.oci.container import STOPPED, Container
from nestbox.runtime.oci.requests import Log


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event: ``type`` is "stats" or "oom"; only the first has data. Source: runc events(8)."""

    type: str
    id: str
    data: Stats | None = None


def container_stats(container: Container) -> Stats:
    """Return what a container uses now. Raises LaunchError."""
    found = statistics(msgspec.convert(container.state.cgroup, CgroupLocation))
    rdt = _cache_statistics(container)
    return msgspec.structs.replace(found, intel_rdt=rdt) if rdt else found


def _cache_statistics(container: Container) -> dict[str, object]:
    """Return what resctrl says of a container that has a group there."""
    if not container.state.resctrl:
        return {}
    from nestbox.runtime.oci import resctrl

    root = resctrl.find_root()
    return resctrl.statistics(container.state.resctrl, root) if root is not None else {}


def show_statistics(container: Container, emit: Callable[[Event], None]) -> None:
    """Hand the statistics of a container to ``emit`` once.

    Raises:
        StateError: the container does not run.
        LaunchError: its cgroup cannot be read.
    """
    _check_alive(container)
    emit(Event(type="stats", id=container.id, data=container_stats(container)))


def show_events(
    container: Container, emit: Callable[[Event], None], *, interval_seconds: float, log: Log
) -> None:
    """Hand events to ``emit`` until the container ends: out of memory, and statistics in between.

    Raises:
        StateError: the container does not run.
        LaunchError: its memory cannot be watched.
    """
    _check_alive(container)
    location = msgspec.convert(container.state.cgroup, CgroupLocation)
    with OomEvents(location) as oom:
        _Watch(container, oom, interval_seconds, emit, log).run()


def _check_alive(container: Container) -> None:
    if container.status() == STOPPED:
        raise StateError(
            f"container with id {container.id} is not running",
            cause="container not running",
            remedy="start it first",
        )


class _Watch:
    """The loop over one container: its memory, its end, and the clock."""

    def __init__(
        self,
        container: Container,
        oom: OomEvents,
        interval_seconds: float,
        emit: Callable[[Event], None],
        log: Log,
    ) -> None:
        self._container = container
        self._oom = oom
        self._interval = interval_seconds
        self._emit = emit
        self._log = log
        self._poll = select.poll()
        for fd, events in oom.descriptors:
            self._poll.register(fd, events)

    def run(self) -> None:
        """Watch until the container ends."""
        process = self._container.process()
        pidfd = open_process(process.pid) if process is not None else -1
        if pidfd >= 0:
            self._poll.register(pidfd, select.POLLIN)
        try:
            due = time.monotonic() + self._interval
            while self._wait(due, pidfd):
                if time.monotonic() >= due:
                    self._tell_statistics()
                    due += self._interval
        except ProcessLookupError:
            return
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def _wait(self, due: float, pidfd: int) -> bool:
        """Wait for an event or until it is time; return whether the container is still there."""
        left = max(0.0, due - time.monotonic())
        ready = self._poll.poll(-(-left * 1000 // 1))
        # First what happened to its memory: that may be why it has ended.
        while (happened := self._oom.take()) == OOM:
            self._emit(Event(type="oom", id=self._container.id))
        return happened != ENDED and all(fd != pidfd for fd, _ in ready)

    def _tell_statistics(self) -> None:
        try:
            data = container_stats(self._container)
        except NestboxError as error:
            self._log.warning(str(error))
            return
        self._emit(Event(type="stats", id=self._container.id, data=data))
