"""What a container uses, as values whose JSON is that of ``runc events --stats``.

Numbers are bytes, operations, processes or nanoseconds. What a kernel does not tell is 0, and
left out of the JSON where runc leaves it out.

Source: runc types/events.go.
"""

from __future__ import annotations

from typing import Any

import msgspec


class PressureLine(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of time in percent, and a total in microseconds.

    Source: Documentation/accounting/psi.rst.
    """

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0


class Pressure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How long some, or all, processes waited for a resource."""

    some: PressureLine = PressureLine()
    full: PressureLine = PressureLine()


class CpuUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Time of processors, in nanoseconds."""

    total: int = 0
    percpu: tuple[int, ...] = ()
    percpu_kernel: tuple[int, ...] = ()
    percpu_user: tuple[int, ...] = ()
    kernel: int
    user: int


class Throttling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How often and how long (nanoseconds) the quota held processes up."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class Cpu(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Processor time."""

    usage: CpuUsage = CpuUsage(kernel=0, user=0)
    throttling: Throttling = Throttling()
    psi: Pressure | None = None


class Cpuset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cpuset of version 1; zeros on version 2."""

    cpus: tuple[int, ...] = ()
    cpu_exclusive: int
    mems: tuple[int, ...] = ()
    mem_hardwall: int
    mem_exclusive: int
    memory_migrate: int
    memory_spread_page: int
    memory_spread_slab: int
    memory_pressure: int
    sched_load_balance: int
    sched_relax_domain_level: int


class MemoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One counter of memory, in bytes; ``failcnt`` is how often its limit was hit."""

    limit: int
    usage: int = 0
    max: int = 0
    failcnt: int


NO_MEMORY = MemoryEntry(limit=0, failcnt=0)


class Memory(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"kernel_tcp": "kernelTCP"},
):
    """Memory; ``swap`` is memory and swap together, ``raw`` the lines of memory.stat."""

    cache: int = 0
    usage: MemoryEntry = NO_MEMORY
    swap: MemoryEntry = NO_MEMORY
    kernel: MemoryEntry = NO_MEMORY
    kernel_tcp: MemoryEntry = NO_MEMORY
    raw: dict[str, int] = {}
    psi: Pressure | None = None


class Pids(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks; a limit of 0 is none."""

    current: int = 0
    limit: int = 0


class BlkioEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One counter of one block device."""

    major: int = 0
    minor: int = 0
    op: str = ""
    value: int = 0


Entries = tuple[BlkioEntry, ...]


class Blkio(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "io_service_bytes_recursive": "ioServiceBytesRecursive",
        "io_serviced_recursive": "ioServicedRecursive",
        "io_queued_recursive": "ioQueueRecursive",
        "io_service_time_recursive": "ioServiceTimeRecursive",
        "io_wait_time_recursive": "ioWaitTimeRecursive",
        "io_merged_recursive": "ioMergedRecursive",
        "io_time_recursive": "ioTimeRecursive",
        "sectors_recursive": "sectorsRecursive",
    },
):
    """Block devices, with the cgroups below counted in."""

    io_service_bytes_recursive: Entries = ()
    io_serviced_recursive: Entries = ()
    io_queued_recursive: Entries = ()
    io_service_time_recursive: Entries = ()
    io_wait_time_recursive: Entries = ()
    io_merged_recursive: Entries = ()
    io_time_recursive: Entries = ()
    sectors_recursive: Entries = ()
    psi: Pressure | None = None


class Hugetlb(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Huge pages of one size, in bytes."""

    usage: int = 0
    max: int = 0
    failcnt: int


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; who knows them fills in ``intel_rdt`` and ``network_interfaces``."""

    cpu: Cpu = Cpu()
    cpuset: Cpuset
    memory: Memory = Memory()
    pids: Pids = Pids()
    blkio: Blkio = Blkio()
    hugetlb: dict[str, Hugetlb] = {}
    intel_rdt: dict[str, Any] = {}
    network_interfaces: tuple[Any, ...] | None = None
