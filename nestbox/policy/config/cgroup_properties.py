"""The resources of a container as properties of its systemd unit. Pure.

The files of the cgroup are written too, and are what counts; the properties keep systemd from
setting them back when it reloads.

Source: systemd.resource-control(5), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import ConfigError
from nestbox.policy.config.cgroup_convert import swap_alone, weight_of_shares
from nestbox.policy.config.cgroup_devices import (
    ANY,
    Rule,
    RuleSet,
    access_text,
    rule_set,
    transition,
)
from nestbox.policy.config.cgroup_variant import Property

if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxCPU, LinuxMemory, LinuxResources
    from nestbox.policy.config.cgroup_location import CgroupLocation

INFINITY: Final = (1 << 64) - 1
_PERIOD: Final = 100_000
_PERCENT_MICROSECONDS: Final = 10_000  # of one second: what systemd's integer percents come to
# Which version of systemd brought a property.
_QUOTA_PERIOD, _ALLOWED_CPUS, _IDLE, _OOM_POLICY, _DEVICE_MAJOR = 242, 244, 252, 253, 240


class UnitStart(msgspec.Struct, frozen=True, kw_only=True):
    """What the unit of a container is started with: a process, and what the annotations set."""

    container: str
    pid: int
    annotated: tuple[Property, ...] = ()
    unified: dict[str, str] = {}


def start_properties(
    location: CgroupLocation, start: UnitStart, *, systemd: int = INFINITY
) -> tuple[Property, ...]:
    """Return the properties with which the container's unit is started; ``systemd`` is its version.

    Only those that can be set at no other time; limits follow with ``resource_properties``.
    """
    assert location.unit is not None
    assert location.slice is not None
    found: list[Property] = [("Description", ("s", f"nestbox container {start.container}"))]
    if location.unit.endswith(".slice"):
        found.append(("Wants", ("as", [location.slice])))
    else:
        found += [("Slice", ("s", location.slice)), ("Delegate", ("b", True))]
        found.append(("PIDs", ("au", [start.pid])))
    io = "BlockIOAccounting" if location.version == 1 else "IOAccounting"
    for name in ("MemoryAccounting", "CPUAccounting", io, "TasksAccounting"):
        found.append((name, ("b", True)))
    found.append(("DefaultDependencies", ("b", False)))
    policy = {"0": "continue", "1": "kill"}.get(start.unified.get("memory.oom.group", "").strip())
    if policy and systemd >= _OOM_POLICY and location.version == 2:
        found.append(("OOMPolicy", ("s", policy)))
    return (*found, *start.annotated)


def resource_properties(
    resources: LinuxResources, location: CgroupLocation, *, systemd: int = INFINITY
) -> tuple[Property, ...]:
    """Return the limits as properties that this version of systemd knows. Raises ConfigError."""
    found: list[Property] = []
    if resources.memory:
        found += _memory(resources.memory, location.version)
    if resources.cpu:
        found += _cpu(resources.cpu, location.version, systemd)
    weight = resources.block_io.weight if resources.block_io else None
    if weight and location.version == 1:
        found.append(("BlockIOWeight", ("t", weight)))
    if resources.pids and resources.pids.limit is not None:
        limit = resources.pids.limit
        found.append(("TasksMax", ("t", INFINITY if limit < 0 else max(limit, 1))))
    if location.version == 2:
        for name, value in resources.unified.items():
            found += _unified(name, value.strip(), systemd, resources.unified)
    return tuple(found)


def _unsigned(value: int) -> int:
    return INFINITY if value < 0 else value


def _memory(memory: LinuxMemory, version: int) -> Iterator[Property]:
    limit, both = memory.limit or 0, memory.swap or 0
    if limit:
        name = "MemoryLimit" if version == 1 else "MemoryMax"
        yield name, ("t", _unsigned(limit))
    if version == 1:
        return
    if memory.reservation:
        yield "MemoryLow", ("t", _unsigned(memory.reservation))
    swap = swap_alone(both, limit)
    if swap or both > 0:
        yield "MemorySwapMax", ("t", _unsigned(swap))


def _cpu(cpu: LinuxCPU, version: int, systemd: int) -> Iterator[Property]:
    idle = version == 2 and cpu.idle == 1 and systemd >= _IDLE
    if idle:
        yield "CPUWeight", ("t", 0)  # the way to say "idle"
    elif cpu.shares and version == 2:
        yield "CPUWeight", ("t", weight_of_shares(cpu.shares))
    if cpu.shares and version == 1:
        yield "CPUShares", ("t", cpu.shares)
    yield from _quota(cpu.quota or 0, cpu.period or 0, systemd)
    if systemd >= _ALLOWED_CPUS:
        if cpu.cpus:
            yield "AllowedCPUs", ("ay", bits_of(cpu.cpus))
        if cpu.mems:
            yield "AllowedMemoryNodes", ("ay", bits_of(cpu.mems))


def _quota(quota: int, period: int, systemd: int) -> Iterator[Property]:
    if period and systemd >= _QUOTA_PERIOD:
        yield "CPUQuotaPeriodUSec", ("t", period)
    if not quota and not period:
        return
    yield "CPUQuotaPerSecUSec", ("t", per_second(quota, period) if quota > 0 else INFINITY)


def per_second(quota: int, period: int) -> int:
    """Return the microseconds in a second that a quota comes to, rounded up to whole percents.

    Systemd keeps percents, and a quota below what was asked would make one that a child asks for
    impossible.
    """
    exact = quota * 1_000_000 // (period or _PERIOD)
    return -(-exact // _PERCENT_MICROSECONDS) * _PERCENT_MICROSECONDS


def bits_of(listed: str) -> bytes:
    """Return a list such as ``0-3,7`` as the bits that systemd takes, the lowest byte first.

    Raises:
        ConfigError: it is no such list, or empty.
    """
    mask = 0
    try:
        for part in filter(None, (part.strip() for part in listed.split(","))):
            first, dash, last = part.partition("-")
            start, end = int(first), int(last) if dash else int(first)
            if not 0 <= start <= end < 1 << 16:
                raise ValueError(part)
            mask |= (1 << end + 1) - (1 << start)
        if not mask:
            raise ValueError("empty value")
    except ValueError as error:
        raise ConfigError(
            f"cannot use the list {listed!r}",
            cause=f"conversion error: {error}",
            remedy="list processors and memory nodes as in 0-3,7",
        ) from error
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


_UNIFIED_LIMITS: Final = {
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.min": "MemoryMin",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
}
_UNIFIED_LISTS: Final = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}


def _unified(name: str, value: str, systemd: int, others: dict[str, str]) -> Iterator[Property]:
    """Yield the property of a file; files without one are written to the cgroup only."""
    idle = others.get("cpu.idle", "").strip() == "1" and systemd >= _IDLE
    if name == "cpu.max":
        quota, _, period = value.partition(" ")
        limit = 0 if quota == "max" else _integer(name, quota)
        yield from _quota(limit, _integer(name, period) if period else _PERIOD, systemd)
    elif name == "cpu.idle" and idle:
        yield "CPUWeight", ("t", 0)
    elif name == "cpu.weight" and not idle:
        yield "CPUWeight", ("t", _integer(name, value))
    elif name in _UNIFIED_LISTS and systemd >= _ALLOWED_CPUS:
        yield _UNIFIED_LISTS[name], ("ay", bits_of(value))
    elif name in _UNIFIED_LIMITS:
        limit = INFINITY if value == "max" else _integer(name, value)
        least = 1 if name == "pids.max" else 0
        yield _UNIFIED_LIMITS[name], ("t", max(limit, least))


def _integer(name: str, text: str) -> int:
    if not text.strip().isdecimal():
        raise ConfigError(
            f'unified resource "{name}" value conversion error',
            cause=f"{text!r} is no number",
            remedy="correct linux.resources.unified",
        )
    return int(text)


def device_properties(rules: Sequence[Rule], *, systemd: int = INFINITY) -> tuple[Property, ...]:
    """Return the device rules as properties; what systemd cannot say is left to our own program."""
    target = rule_set(rules)
    cleared: Property = ("DeviceAllow", ("a(ss)", []))
    if target.allows_all:
        return cleared, ("DevicePolicy", ("s", "auto"))
    entries: list[tuple[str, str]] = []
    for rule in () if target.allows else transition(RuleSet(), target):
        path = _device_path(rule, systemd)
        if path is not None:
            entries.append((path, access_text(rule.access)))
    strict: Property = ("DevicePolicy", ("s", "strict"))
    return cleared, strict, ("DeviceAllow", ("a(ss)", entries))


def _device_path(rule: Rule, systemd: int) -> str | None:
    match = rule.match
    assert match is not None
    kind = {"c": "char", "b": "block"}[match.kind]
    if match.major == ANY:
        return f"{kind}-*" if match.minor == ANY else None
    if match.minor == ANY:
        return f"{kind}-{match.major}" if systemd >= _DEVICE_MAJOR else None
    return f"/dev/{kind}/{match.major}:{match.minor}"
