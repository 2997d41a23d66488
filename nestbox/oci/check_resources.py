"""Checks of ``linux.resources``, for ``create`` and for ``update``.

Source: runtime-spec 1.3, config-linux.md, "Control groups".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from nestbox.oci.check_namespaces import is_interface_name
from nestbox.oci.names import read_list
from nestbox.oci.numbers import MAX_UINT64
from nestbox.oci.problem import Problem
from nestbox.oci.resources import LinuxBlockIO, LinuxCPU, LinuxResources, LinuxThrottleDevice

_WILDCARD: Final = -1  # older engines write it for "every number"
_THROTTLES: Final = (
    ("throttleReadBpsDevice", "throttle_read_bps_device"),
    ("throttleWriteBpsDevice", "throttle_write_bps_device"),
    ("throttleReadIOPSDevice", "throttle_read_iops_device"),
    ("throttleWriteIOPSDevice", "throttle_write_iops_device"),
)


def problem(place: str, cause: str, remedy: str = "correct this value") -> Problem:
    """Return a problem of a place below ``linux.resources``."""
    return Problem(place=f"$.linux.resources.{place}", cause=cause, remedy=remedy)


def _devices(resources: LinuxResources) -> Iterator[Problem]:
    for index, rule in enumerate(resources.devices):
        place = f"devices[{index}]"
        if rule.type not in {"", "a", "b", "c"}:
            yield problem(f"{place}.type", f"invalid device type {rule.type!r}", "a, b or c")
        # What is none of them allows nothing, and engines do write other letters.
        if not {*rule.access} & {*"rwm"}:
            yield problem(f"{place}.access", f"{rule.access!r} is not made of r, w and m")
        for field, number in (("major", rule.major), ("minor", rule.minor)):
            if number is not None and number < _WILDCARD:
                yield problem(f"{place}.{field}", f"{number} is no device number")


def _memory(resources: LinuxResources) -> Iterator[Problem]:
    memory = resources.memory
    if memory is None:
        return
    limits = (("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap))
    for field, limit in limits:
        if limit is not None and limit < -1:
            yield problem(f"memory.{field}", f"{limit} is neither bytes nor -1")
    if memory.swappiness is not None and memory.swappiness > MAX_UINT64:
        yield problem("memory.swappiness", "needs more than 64 bits")


def _cpu(resources: LinuxResources) -> Iterator[Problem]:
    cpu = resources.cpu
    if cpu is None:
        return
    for field, text in (("cpus", cpu.cpus), ("mems", cpu.mems)):
        try:
            read_list(text)
        except ValueError as error:
            yield problem(f"cpu.{field}", str(error), "write it as 0-3,7")
    if cpu.idle not in {None, 0, 1}:
        yield problem("cpu.idle", f"{cpu.idle} is neither 0 nor 1")
    if cpu.quota and 0 < cpu.quota < (cpu.burst or 0):
        yield problem("cpu.burst", f"{cpu.burst} is above the quota, {cpu.quota}")
    yield from _cpu_numbers(cpu)


def _cpu_numbers(cpu: LinuxCPU) -> Iterator[Problem]:
    for field in ("shares", "burst", "period", "realtime_period"):
        if (getattr(cpu, field) or 0) > MAX_UINT64:
            name = "realtimePeriod" if field == "realtime_period" else field
            yield problem(f"cpu.{name}", "needs more than 64 bits")


def _block_io(resources: LinuxResources) -> Iterator[Problem]:
    block = resources.block_io
    if block is None:
        return
    for index, device in enumerate(block.weight_device):
        place = f"blockIO.weightDevice[{index}]"
        if device.weight is None and device.leaf_weight is None:
            yield problem(place, "has neither `weight` nor `leafWeight`", "set one")
        if min(device.major, device.minor) < 0:
            yield problem(place, f"{device.major}:{device.minor} is no device")
    yield from _throttles(block)


def _throttles(block: LinuxBlockIO) -> Iterator[Problem]:
    for name, field in _THROTTLES:
        devices: tuple[LinuxThrottleDevice, ...] = getattr(block, field)
        for index, device in enumerate(devices):
            place = f"blockIO.{name}[{index}]"
            if min(device.major, device.minor) < 0:
                yield problem(place, f"{device.major}:{device.minor} is no device")
            if device.rate > MAX_UINT64:
                yield problem(f"{place}.rate", "needs more than 64 bits")


def _huge_pages(resources: LinuxResources) -> Iterator[Problem]:
    for index, limit in enumerate(resources.hugepage_limits):
        place = f"hugepageLimits[{index}]"
        if not _is_page_size(limit.page_size):
            yield problem(f"{place}.pageSize", f"{limit.page_size!r} is not of the form 2MB")
        if limit.limit > MAX_UINT64:
            yield problem(f"{place}.limit", "needs more than 64 bits")


def _is_page_size(text: str) -> bool:
    number = text[:-2]
    digits = number.isascii() and number.isdecimal() and not number.startswith("0")
    return digits and text[-2:] in {"KB", "MB", "GB"}


def _network(resources: LinuxResources) -> Iterator[Problem]:
    network = resources.network
    for index, one in enumerate(network.priorities if network else ()):
        if not is_interface_name(one.name):
            place = f"network.priorities[{index}].name"
            yield problem(place, f"invalid network device name {one.name!r}")


def _rdma(resources: LinuxResources) -> Iterator[Problem]:
    for name, limits in resources.rdma.items():
        if limits.hca_handles is None and limits.hca_objects is None:
            yield problem(f"rdma.{name}", "has neither `hcaHandles` nor `hcaObjects`", "set one")
        if not name or any(character.isspace() for character in name):
            yield problem(f"rdma.{name}", f"{name!r} is no name of a device")


def _unified(resources: LinuxResources) -> Iterator[Problem]:
    """Yield names that are no files of a cgroup, or of another one."""
    for name in resources.unified:
        controller, dot, file = name.partition(".")
        if "/" in name or not (controller and dot and file):
            yield problem(f"unified.{name}", "is not of the form CONTROLLER.FILE")


RESOURCE_CHECKS: Final[tuple[Callable[[LinuxResources], Iterator[Problem]], ...]] = (
    _devices,
    _memory,
    _cpu,
    _block_io,
    _huge_pages,
    _network,
    _rdma,
    _unified,
)
