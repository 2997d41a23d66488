"""What a container uses, read from cgroup v2. Source: Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

import errno

from nestbox.runtime.cgroup.files import read, value_of
from nestbox.runtime.cgroup.stats import (
    Blkio,
    Cpu,
    CpuUsage,
    Hugetlb,
    Memory,
    MemoryEntry,
    Pids,
    Pressure,
    Throttling,
)
from nestbox.runtime.cgroup.stats_text import UNLIMITED, block_io_v2, number, pairs, pressure


def cpu_v2(directory: str) -> Cpu:
    """Return processor time, in the nanoseconds of version 1. Raises OSError, ValueError."""
    found = pairs(_optional(directory, "cpu.stat"))

    def nanoseconds(key: str) -> int:
        return found.get(key, 0) * 1000

    return Cpu(
        usage=CpuUsage(
            total=nanoseconds("usage_usec"),
            kernel=nanoseconds("system_usec"),
            user=nanoseconds("user_usec"),
        ),
        throttling=Throttling(
            periods=found.get("nr_periods", 0),
            throttled_periods=found.get("nr_throttled", 0),
            throttled_time=nanoseconds("throttled_usec"),
        ),
        psi=_pressure(directory, "cpu.pressure"),
    )


def memory_v2(directory: str) -> Memory:
    """Return the counters of memory, swap as in version 1. Raises OSError, ValueError."""
    psi = _pressure(directory, "memory.pressure")
    text = _optional(directory, "memory.stat")
    if not text:
        return Memory(psi=psi)
    raw = pairs(text)
    usage, swap = _entry(directory, "memory"), _entry(directory, "memory.swap")
    return Memory(
        cache=raw.get("file", 0),
        usage=usage,
        # Peaks of two counters are not of one moment, so that their sum means nothing.
        swap=MemoryEntry(
            usage=usage.usage + swap.usage,
            limit=UNLIMITED if UNLIMITED in {usage.limit, swap.limit} else usage.limit + swap.limit,
            failcnt=0,
        ),
        raw=raw,
        psi=psi,
    )


def _entry(directory: str, prefix: str) -> MemoryEntry:
    return MemoryEntry(
        usage=number(_optional(directory, f"{prefix}.current") or "0"),
        limit=number(_optional(directory, f"{prefix}.max") or "0"),
        max=number(_optional(directory, f"{prefix}.peak") or "0"),
        failcnt=0,
    )


def pids_v2(directory: str) -> Pids:
    """Return the count and limit of tasks; without the controller those of cgroup.procs."""
    current = _optional(directory, "pids.current")
    if current:
        limit = number(read(directory, "pids.max"))
        return Pids(current=number(current), limit=0 if limit == UNLIMITED else limit)
    try:
        text = read(directory, "cgroup.procs")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        text = read(directory, "cgroup.threads")
    return Pids(current=len(text.split()))


def blkio_v2(directory: str) -> Blkio:
    """Return the counters of block devices. Raises OSError, ValueError."""
    transferred, operations = block_io_v2(_optional(directory, "io.stat"))
    return Blkio(
        io_service_bytes_recursive=transferred,
        io_serviced_recursive=operations,
        psi=_pressure(directory, "io.pressure"),
    )


def hugetlb_v2(directory: str, sizes: tuple[str, ...]) -> dict[str, Hugetlb]:
    """Return the use of huge pages by size; none without the controller."""
    found = {}
    for size in sizes:
        usage = _optional(directory, f"hugetlb.{size}.rsvd.current") or _optional(
            directory, f"hugetlb.{size}.current"
        )
        if usage:
            events = _optional(directory, f"hugetlb.{size}.events")
            found[size] = Hugetlb(usage=number(usage), failcnt=value_of(events, "max"))
    return found


def _pressure(directory: str, name: str) -> Pressure | None:
    """Return the pressure, None where the kernel does not measure it."""
    try:
        text = read(directory, name)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EOPNOTSUPP}:
            return None
        raise
    return pressure(text)


def _optional(directory: str, name: str) -> str:
    """Return the text of a file, "" when there is none."""
    try:
        return read(directory, name)
    except FileNotFoundError:
        return ""
