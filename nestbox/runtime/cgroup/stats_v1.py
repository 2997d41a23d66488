"""What a container uses, read from cgroup v1. Source: Documentation/admin-guide/cgroup-v1/."""

from __future__ import annotations

import msgspec

from nestbox.runtime.cgroup.files import read
from nestbox.runtime.cgroup.stats import (
    NO_MEMORY,
    Blkio,
    Cpu,
    Cpuset,
    CpuUsage,
    Hugetlb,
    Memory,
    MemoryEntry,
    Pids,
    Throttling,
)
from nestbox.runtime.cgroup.stats_text import UNLIMITED, block_io_v1, number, numbers_in, pairs

_TICK_NANOSECONDS = 10_000_000  # USER_HZ is 100 on every architecture

NO_CPUSET = Cpuset(
    cpu_exclusive=0,
    mem_hardwall=0,
    mem_exclusive=0,
    memory_migrate=0,
    memory_spread_page=0,
    memory_spread_slab=0,
    memory_pressure=0,
    sched_load_balance=0,
    sched_relax_domain_level=0,
)
_CPUSET_NUMBERS = tuple(name for name in Cpuset.__struct_fields__ if name not in {"cpus", "mems"})

_SERVICED = (
    ("io_serviced_recursive", "io_serviced_recursive"),
    ("io_service_bytes_recursive", "io_service_bytes_recursive"),
)
_ALL = (
    ("sectors_recursive", "sectors_recursive"),
    ("io_service_time_recursive", "io_service_time_recursive"),
    ("io_wait_time_recursive", "io_wait_time_recursive"),
    ("io_merged_recursive", "io_merged_recursive"),
    ("io_queued_recursive", "io_queued_recursive"),
    ("io_time_recursive", "time_recursive"),
    *_SERVICED,
)
# The schedulers count each for itself: the first of these whose first file is there has the
# numbers. The last counts this cgroup alone, and is what a kernel before 4.17 has.
_BLOCK_IO = (
    ("blkio.bfq.", _ALL),
    ("blkio.bfq.", _SERVICED),
    ("blkio.", _ALL),
    ("blkio.throttle.", _SERVICED),
    (
        "blkio.throttle.",
        (
            ("io_serviced_recursive", "io_serviced"),
            ("io_service_bytes_recursive", "io_service_bytes"),
        ),
    ),
)


def cpu_v1(cpu: str | None, cpuacct: str | None) -> Cpu:
    """Return processor time of the directories of cpu and cpuacct. Raises OSError, ValueError."""
    throttled = pairs(_optional(cpu, "cpu.stat"))
    return Cpu(
        usage=_usage(cpuacct) if cpuacct else CpuUsage(kernel=0, user=0),
        throttling=Throttling(
            periods=throttled.get("nr_periods", 0),
            throttled_periods=throttled.get("nr_throttled", 0),
            throttled_time=throttled.get("throttled_time", 0),
        ),
    )


def _usage(directory: str) -> CpuUsage:
    ticks = pairs(read(directory, "cpuacct.stat"))
    by_cpu = [line.split() for line in _optional(directory, "cpuacct.usage_all").splitlines()[1:]]
    return CpuUsage(
        total=number(read(directory, "cpuacct.usage")),
        percpu=tuple(map(int, read(directory, "cpuacct.usage_percpu").split())),
        percpu_kernel=tuple(int(fields[2]) for fields in by_cpu),
        percpu_user=tuple(int(fields[1]) for fields in by_cpu),
        kernel=ticks.get("system", 0) * _TICK_NANOSECONDS,
        user=ticks.get("user", 0) * _TICK_NANOSECONDS,
    )


def cpuset_v1(directory: str | None) -> Cpuset:
    """Return the cpuset; of files that are not there 0. Raises OSError, ValueError."""
    if directory is None:
        return NO_CPUSET
    lists = {}
    for name in ("cpus", "mems"):
        text = _optional(directory, f"cpuset.{name}")
        lists[name] = numbers_in(text) if text else ()
    values = {name: int(_optional(directory, f"cpuset.{name}") or 0) for name in _CPUSET_NUMBERS}
    return msgspec.structs.replace(NO_CPUSET, **lists, **values)


def memory_v1(directory: str | None) -> Memory:
    """Return the counters of memory. Raises OSError, ValueError."""
    text = _optional(directory, "memory.stat")
    if directory is None or not text:
        return Memory()
    raw = pairs(text)
    return Memory(
        cache=raw.get("cache", 0),
        usage=_entry(directory, "memory"),
        swap=_entry(directory, "memory.memsw"),
        kernel=_entry(directory, "memory.kmem"),
        kernel_tcp=_entry(directory, "memory.kmem.tcp"),
        raw=raw,
    )


def _entry(directory: str, prefix: str) -> MemoryEntry:
    usage = _optional(directory, f"{prefix}.usage_in_bytes")
    if not usage:
        return NO_MEMORY  # swap and kernel memory are options of the kernel
    return MemoryEntry(
        usage=number(usage),
        max=number(read(directory, f"{prefix}.max_usage_in_bytes")),
        failcnt=number(read(directory, f"{prefix}.failcnt")),
        limit=number(_optional(directory, f"{prefix}.limit_in_bytes") or "0"),
    )


def pids_v1(directory: str | None) -> Pids:
    """Return the count and limit of tasks. Raises OSError, ValueError."""
    if directory is None:
        return Pids()
    limit = number(read(directory, "pids.max"))
    return Pids(
        current=number(read(directory, "pids.current")), limit=0 if limit == UNLIMITED else limit
    )


def blkio_v1(directory: str | None) -> Blkio:
    """Return the counters of block devices. Raises OSError, ValueError."""
    for prefix, files in _BLOCK_IO:
        texts = {field: _optional(directory, prefix + file) for field, file in files}
        found = {field: block_io_v1(text) for field, text in texts.items()}
        if found[files[0][0]]:
            return msgspec.structs.replace(Blkio(), **found)
    return Blkio()


def hugetlb_v1(directory: str | None, sizes: tuple[str, ...]) -> dict[str, Hugetlb]:
    """Return the use of huge pages by size, reservations where the kernel counts them."""
    found = {}
    for size in sizes if directory else ():
        assert directory is not None
        prefix = f"hugetlb.{size}.rsvd"
        usage = _optional(directory, f"{prefix}.usage_in_bytes")
        if not usage:
            prefix = f"hugetlb.{size}"
            usage = read(directory, f"{prefix}.usage_in_bytes")
        found[size] = Hugetlb(
            usage=number(usage),
            max=number(read(directory, f"{prefix}.max_usage_in_bytes")),
            failcnt=number(read(directory, f"{prefix}.failcnt")),
        )
    return found


def _optional(directory: str | None, name: str) -> str:
    """Return the text of a file, "" when there is none."""
    if directory is None:
        return ""
    try:
        return read(directory, name)
    except FileNotFoundError:
        return ""
