"""What containers use at this moment, in the terms of `docker stats`."""

from __future__ import annotations

import os
import time

import msgspec

from nestbox.errors import StateError
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.runtime.cgroup.statistics import statistics
from nestbox.runtime.cgroup.stats import BlkioEntry, Stats
from nestbox.runtime.containers import Origin, Seen, run_location, run_state
from nestbox.runtime.oci.store import Store

_NANOSECONDS = 1e9


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """One container's use of the machine.

    ``cpu_percent`` is of one processor, and so can be above 100; ``memory_limit`` is that of the
    machine where the container has none. Sizes are bytes, ``read`` and ``written`` since its start.
    """

    id: str
    cpu_percent: float
    memory: int
    memory_limit: int
    processes: int
    read: int
    written: int


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of one container, and when they were read (seconds of CLOCK_MONOTONIC)."""

    at: float
    stats: Stats


def sample(seen: Seen) -> Sample:
    """Return the counters of a container.

    Raises:
        StateError: it has no cgroup of its own to count in.
        LaunchError: its cgroup cannot be read.
    """
    return Sample(at=time.monotonic(), stats=statistics(_location(seen)))


def _location(seen: Seen) -> CgroupLocation:
    if seen.origin is Origin.ENGINE:
        found = msgspec.convert(Store(seen.root).load(seen.id).state.cgroup, CgroupLocation)
    else:
        kept = run_location(run_state(seen.root, seen.id))
        found = CgroupLocation(version=kept.version, directories=kept.directories)
    if not found.directories:
        raise StateError(
            f'cannot tell what the container "{seen.id}" uses',
            cause="it has no cgroup of its own: nothing limits it",
            remedy="start it with a limit, as --memory",
        )
    return found


def usage(seen: Seen, before: Sample, now: Sample) -> Usage:
    """Return what a container used between two samples, and what it holds at the second. Pure."""
    seconds = max(now.at - before.at, 1e-6)
    used = now.stats.cpu.usage.total - before.stats.cpu.usage.total
    memory = now.stats.memory
    counters = memory.raw
    inactive = counters.get("total_inactive_file", counters.get("inactive_file", 0))
    return Usage(
        id=seen.id,
        cpu_percent=round(100 * used / _NANOSECONDS / seconds, 2),
        memory=max(memory.usage.usage - inactive, 0),
        memory_limit=min(memory.usage.limit, machine_memory()) or machine_memory(),
        processes=now.stats.pids.current,
        read=_total(now.stats.blkio.io_service_bytes_recursive, "read"),
        written=_total(now.stats.blkio.io_service_bytes_recursive, "write"),
    )


def machine_memory() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _total(entries: tuple[BlkioEntry, ...], operation: str) -> int:
    return sum(entry.value for entry in entries if entry.op.lower() == operation)
