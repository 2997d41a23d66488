"""`nestbox-runtime update`: change the limits of a container that runs."""

from __future__ import annotations

import sys

from nestbox.cli.oci.command import NUMBER, TEXT, Call, Command, Option, Values
from nestbox.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources
    from nestbox.runtime.oci.update import CacheLimits

_UINT64 = (1 << 64) - 1
_INT64 = (1 << 63) - 1


def _update(call: Call) -> int:
    from nestbox.runtime.oci.update import update

    source = call.values.text("resources")
    update(
        call.session.root,
        call.container,
        _read(source) if source else _change(call.values),
        cache=_cache(call.values),
        log=call.session.log,
    )
    return 0


def _cache(values: Values) -> CacheLimits | None:
    from nestbox.runtime.oci.update import CacheLimits

    l3_cache, bandwidth = values.text("l3-cache-schema"), values.text("mem-bw-schema")
    if not l3_cache and not bandwidth:
        return None
    return CacheLimits(l3_cache=l3_cache, memory_bandwidth=bandwidth)


def _read(source: str) -> LinuxResources:
    """Return the limits in a file, or for "-" on standard input. Raises NestboxError, OSError."""
    from nestbox.oci.read import MAX_BYTES, parse_resources

    if source == "-":
        return parse_resources(sys.stdin.buffer.read(MAX_BYTES + 1), source="standard input")
    with open(source, "rb") as file:
        return parse_resources(file.read(MAX_BYTES + 1), source=source)


def _change(values: Values) -> LinuxResources:
    """Return the limits that options name. Raises UsageError."""
    from nestbox.oci.resources import LinuxPids, LinuxResources

    pids = values.number("pids-limit") if values.given("pids-limit") else None
    return LinuxResources(
        memory=_memory(values),
        cpu=_cpu(values),
        pids=LinuxPids(limit=pids) if pids is not None else None,
        block_io=_block_io(values),
    )


def _memory(values: Values) -> LinuxMemory:
    from nestbox.oci.resources import LinuxMemory

    return LinuxMemory(
        limit=_size(values, "memory"),
        swap=_size(values, "memory-swap"),
        reservation=_size(values, "memory-reservation"),
        kernel=_size(values, "kernel-memory"),
        kernel_tcp=_size(values, "kernel-memory-tcp"),
    )


def _cpu(values: Values) -> LinuxCPU:
    from nestbox.oci.resources import LinuxCPU

    return LinuxCPU(
        shares=_whole(values, "cpu-share", 0, _UINT64),
        quota=_whole(values, "cpu-quota", -_INT64, _INT64),
        burst=_whole(values, "cpu-burst", 0, _UINT64),
        period=_whole(values, "cpu-period", 0, _UINT64),
        realtime_runtime=_whole(values, "cpu-rt-runtime", -_INT64, _INT64),
        realtime_period=_whole(values, "cpu-rt-period", 0, _UINT64),
        idle=_whole(values, "cpu-idle", -_INT64, _INT64),
        cpus=values.text("cpuset-cpus"),
        mems=values.text("cpuset-mems"),
    )


def _block_io(values: Values) -> LinuxBlockIO | None:
    from nestbox.oci.resources import LinuxBlockIO

    weight = values.number("blkio-weight")
    if not 0 <= weight <= 0xFFFF:
        raise _bad("blkio-weight", str(weight))
    return LinuxBlockIO(weight=weight) if weight else None


def _size(values: Values, name: str) -> int | None:
    """Return bytes, -1 for no limit, None when it was not given. Raises UsageError."""
    text = values.text(name)
    if not text or text == "-1":
        return -1 if text else None
    from nestbox.flags.sizes import parse_size

    try:
        return parse_size(text, name)
    except UsageError as error:
        raise UsageError(
            f"invalid value for {name}: {text[:80]!r}", cause=error.cause, remedy=error.remedy
        ) from error


def _whole(values: Values, name: str, least: int, most: int) -> int | None:
    """Return a whole number, None when it was not given. Raises UsageError."""
    text = values.text(name)
    if not text:
        return None
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit() and least <= int(text) <= most):
        raise _bad(name, text)
    return int(text)


def _bad(name: str, text: str) -> UsageError:
    return UsageError(
        f"invalid value for {name}: {text[:80]!r}",
        cause="it is no number that the kernel could take",
        remedy="give a whole number, as the help of the command says",
    )


COMMAND = Command(
    "update",
    "update container resource constraints",
    _update,
    options=(
        Option(
            "resources r",
            TEXT,
            "file with the limits to change as JSON (runtime-spec, linux.resources), or '-' for "
            "standard input; the other limits are then ignored",
        ),
        Option("blkio-weight", NUMBER, "relative weight for block devices, from 10 to 1000"),
        Option("cpu-period", TEXT, "CPU CFS period (in usecs); 0 to use the system's default"),
        Option("cpu-quota", TEXT, "CPU CFS limit (in usecs) in a period"),
        Option("cpu-burst", TEXT, "CPU CFS burst limit (in usecs): what may be used on top"),
        Option("cpu-share", TEXT, "CPU shares (relative weight vs. other containers)"),
        Option("cpu-rt-period", TEXT, "CPU realtime period (in usecs)"),
        Option("cpu-rt-runtime", TEXT, "CPU realtime limit (in usecs) in a period"),
        Option("cpu-idle", TEXT, "1: run only when nothing else wants to (SCHED_IDLE); 0: not so"),
        Option("cpuset-cpus", TEXT, "CPU(s) to use"),
        Option("cpuset-mems", TEXT, "memory node(s) to use"),
        Option("kernel-memory", TEXT, hidden=True),
        Option("kernel-memory-tcp", TEXT, hidden=True),
        Option("memory", TEXT, "memory limit (in bytes, or with k, m, g)"),
        Option("memory-reservation", TEXT, "memory reservation or soft limit (in bytes)"),
        Option("memory-swap", TEXT, "limit of memory and swap together; '-1' for no limit"),
        Option("pids-limit", NUMBER, "maximum number of pids allowed in the container"),
        Option("l3-cache-schema", TEXT, "Intel RDT/CAT L3 cache schema"),
        Option("mem-bw-schema", TEXT, "Intel RDT/MBA memory bandwidth schema"),
    ),
)
