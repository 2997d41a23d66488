"""The resources of a container as files of cgroup v2. Pure.

Source: Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from nestbox.errors import ConfigError
from nestbox.policy.config.cgroup_convert import (
    limit_text,
    pids_text,
    swap_alone,
    weight_of_block_io,
    weight_of_shares,
)
from nestbox.policy.config.cgroup_setting import Setting
from nestbox.policy.config.cgroup_v1 import hugepage_settings, rdma_settings

if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources

_PERIOD: Final = 100_000  # microseconds; the kernel's default period of cpu.max
# Not threaded: a cgroup that has processes in it and children can limit all others but these.
_DOMAIN: Final = frozenset({"memory", "io", "hugetlb"})
# Files that act on processes, of others too: no resource of the container.
_PROCESSES: Final = frozenset({"cgroup.procs", "cgroup.threads", "cgroup.kill"})


def settings_v2(resources: LinuxResources) -> Iterator[Setting]:
    """Yield what to write, controller by controller, ``unified`` last. Raises ConfigError."""
    if resources.pids and resources.pids.limit is not None:
        yield Setting("pids", "pids.max", pids_text(resources.pids.limit))
    if resources.memory:
        yield from _memory(resources.memory)
    if resources.block_io:
        yield from _block_io(resources.block_io)
    if resources.cpu:
        yield from _cpu(resources.cpu)
        yield from _cpuset(resources.cpu)
    yield from hugepage_settings(resources, "max")
    yield from rdma_settings(resources)
    for name, value in resources.unified.items():
        yield from _unified(name, value)


def needs_domain(found: tuple[Setting, ...]) -> bool:
    """Return whether one of these needs a cgroup that is no threaded one. Source: cgroups(7)."""
    return any(setting.controller in _DOMAIN for setting in found)


def _memory(memory: LinuxMemory) -> Iterator[Setting]:
    limit, both = memory.limit or 0, memory.swap or 0
    swap = swap_alone(both, limit)
    if swap or both > 0:
        text = limit_text(swap)
        # Without swap in the kernel nothing is swapped, so neither of these is missed.
        yield Setting("memory", "memory.swap.max", text, optional=text in {"max", "0"})
    if limit:
        yield Setting("memory", "memory.max", limit_text(limit))
    if memory.reservation:
        yield Setting("memory", "memory.low", limit_text(memory.reservation))


def _block_io(block: LinuxBlockIO) -> Iterator[Setting]:
    if block.weight:
        yield Setting(
            "io",
            "io.bfq.weight",
            str(block.weight),
            otherwise=("io.weight", str(weight_of_block_io(block.weight))),
        )
    for device in block.weight_device:
        if device.weight:
            node = f"{device.major}:{device.minor}"
            yield Setting(
                "io",
                "io.bfq.weight",
                f"{node} {device.weight}",
                optional=True,
                otherwise=("io.weight", f"{node} {weight_of_block_io(device.weight)}"),
            )
    for name, devices in (
        ("rbps", block.throttle_read_bps_device),
        ("wbps", block.throttle_write_bps_device),
        ("riops", block.throttle_read_iops_device),
        ("wiops", block.throttle_write_iops_device),
    ):
        for throttle in devices:
            text = f"{throttle.major}:{throttle.minor} {name}={throttle.rate}"
            yield Setting("io", "io.max", text)


def _cpu(cpu: LinuxCPU) -> Iterator[Setting]:
    if cpu.idle is not None:
        yield Setting("cpu", "cpu.idle", str(cpu.idle))
    if cpu.shares:
        yield Setting("cpu", "cpu.weight", str(weight_of_shares(cpu.shares)))
    if cpu.burst is not None:
        yield Setting("cpu", "cpu.max.burst", str(cpu.burst))
    if cpu.quota or cpu.period:
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        yield Setting("cpu", "cpu.max", f"{quota} {cpu.period or _PERIOD}")


def _cpuset(cpu: LinuxCPU) -> Iterator[Setting]:
    if cpu.cpus:
        yield Setting("cpuset", "cpuset.cpus", cpu.cpus)
    if cpu.mems:
        yield Setting("cpuset", "cpuset.mems", cpu.mems)


def _unified(name: str, value: str) -> Iterator[Setting]:
    """Yield one setting a line: a file with an entry for each device takes one in each write."""
    if "/" in name or "\0" in name:
        raise _bad_name(name, "must be a file name (no slashes)")
    controller, dot, rest = name.partition(".")
    if not (controller and dot and rest):
        raise _bad_name(name, "must be in the form CONTROLLER.PARAMETER")
    if name in _PROCESSES:
        raise _bad_name(name, "moves or ends processes instead of limiting them")
    for line in value.rstrip("\n").split("\n"):
        yield Setting(controller, name, line)


def _bad_name(name: str, cause: str) -> ConfigError:
    return ConfigError(
        f"unified resource {name!r} {cause}",
        cause="it names no limit of the container's cgroup",
        remedy="correct linux.resources.unified",
    )
