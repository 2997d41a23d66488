"""The resources of a container as files of cgroup v1. Pure.

Source: Documentation/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from nestbox.errors import ConfigError
from nestbox.policy.config.cgroup_convert import pids_text
from nestbox.policy.config.cgroup_setting import Setting

if TYPE_CHECKING:
    from nestbox.oci.resources import (
        LinuxBlockIO,
        LinuxCPU,
        LinuxMemory,
        LinuxNetwork,
        LinuxResources,
    )

_NO_SWAPPINESS: Final = (None, -1, (1 << 64) - 1)
_MAX_SWAPPINESS: Final = 100


def settings_v1(resources: LinuxResources) -> Iterator[Setting]:
    """Yield what to write, controller by controller. Raises ConfigError."""
    if resources.cpu:
        yield from _cpuset(resources.cpu)
    if resources.memory:
        yield from _memory(resources.memory)
    if resources.cpu:
        yield from _cpu(resources.cpu)
    if resources.pids and resources.pids.limit is not None:
        yield Setting("pids", "pids.max", pids_text(resources.pids.limit))
    if resources.block_io:
        yield from _block_io(resources.block_io)
    yield from hugepage_settings(resources, "limit_in_bytes")
    if resources.network:
        yield from _network(resources.network)
    yield from rdma_settings(resources)


def hugepage_settings(resources: LinuxResources, suffix: str) -> Iterator[Setting]:
    """Yield the limits of huge pages, and of their reservations since Linux 5.7."""
    for page in resources.hugepage_limits:
        size, text = page.page_size, str(page.limit)
        if not (size.isascii() and size.isalnum()):
            raise ConfigError(
                f"cannot limit huge pages of the size {size!r}",
                cause="it is no size as the kernel writes it",
                remedy="write it as in 64KB, 2MB or 1GB",
            )
        yield Setting("hugetlb", f"hugetlb.{size}.{suffix}", text)
        yield Setting("hugetlb", f"hugetlb.{size}.rsvd.{suffix}", text, optional=True)


def rdma_settings(resources: LinuxResources) -> Iterator[Setting]:
    """Yield the limits of remote memory access, which are the same in both versions."""
    for device, limit in resources.rdma.items():
        text = device
        if limit.hca_handles is not None:
            text += f" hca_handle={limit.hca_handles}"
        if limit.hca_objects is not None:
            text += f" hca_object={limit.hca_objects}"
        yield Setting("rdma", "rdma.max", text)


def _cpuset(cpu: LinuxCPU) -> Iterator[Setting]:
    # A hierarchy that is mounted with noprefix has the short names.
    if cpu.cpus:
        yield Setting("cpuset", "cpuset.cpus", cpu.cpus, otherwise=("cpus", cpu.cpus))
    if cpu.mems:
        yield Setting("cpuset", "cpuset.mems", cpu.mems, otherwise=("mems", cpu.mems))


def _memory(memory: LinuxMemory) -> Iterator[Setting]:
    limit, both = memory.limit or 0, memory.swap or 0
    if limit:
        yield Setting("memory", "memory.limit_in_bytes", str(limit))
    if both:
        yield Setting("memory", "memory.memsw.limit_in_bytes", str(both))
    elif limit == -1:
        yield Setting("memory", "memory.memsw.limit_in_bytes", "-1", optional=True)
    if memory.reservation:
        yield Setting("memory", "memory.soft_limit_in_bytes", str(memory.reservation))
    if memory.disable_oom_killer:
        yield Setting("memory", "memory.oom_control", "1")
    if memory.swappiness not in _NO_SWAPPINESS:
        yield Setting("memory", "memory.swappiness", _swappiness(memory.swappiness or 0))


def _swappiness(value: int) -> str:
    if not 0 <= value <= _MAX_SWAPPINESS:
        raise ConfigError(
            f"invalid memory swappiness value: {value}",
            cause="valid range is 0-100",
            remedy="correct linux.resources.memory.swappiness",
        )
    return str(value)


def _cpu(cpu: LinuxCPU) -> Iterator[Setting]:
    if cpu.shares:
        yield Setting("cpu", "cpu.shares", str(cpu.shares), exact=True)
    if cpu.period:
        yield Setting("cpu", "cpu.cfs_period_us", str(cpu.period))
    if cpu.burst is not None:
        yield Setting("cpu", "cpu.cfs_burst_us", str(cpu.burst), optional=True)
    if cpu.quota:
        yield Setting("cpu", "cpu.cfs_quota_us", str(cpu.quota))
    if cpu.idle is not None:
        yield Setting("cpu", "cpu.idle", str(cpu.idle))
    if cpu.realtime_period:
        yield Setting("cpu", "cpu.rt_period_us", str(cpu.realtime_period))
    if cpu.realtime_runtime:
        yield Setting("cpu", "cpu.rt_runtime_us", str(cpu.realtime_runtime))


def _block_io(block: LinuxBlockIO) -> Iterator[Setting]:
    if block.weight:
        text = str(block.weight)
        yield Setting("blkio", "blkio.weight", text, otherwise=("blkio.bfq.weight", text))
    if block.leaf_weight:
        yield Setting("blkio", "blkio.leaf_weight", str(block.leaf_weight))
    for device in block.weight_device:
        node = f"{device.major}:{device.minor}"
        if device.weight:
            text = f"{node} {device.weight}"
            yield Setting(
                "blkio",
                "blkio.weight_device",
                text,
                otherwise=("blkio.bfq.weight_device", text),
            )
        if device.leaf_weight:
            yield Setting("blkio", "blkio.leaf_weight_device", f"{node} {device.leaf_weight}")
    for name, devices in (
        ("read_bps", block.throttle_read_bps_device),
        ("write_bps", block.throttle_write_bps_device),
        ("read_iops", block.throttle_read_iops_device),
        ("write_iops", block.throttle_write_iops_device),
    ):
        for throttle in devices:
            text = f"{throttle.major}:{throttle.minor} {throttle.rate}"
            yield Setting("blkio", f"blkio.throttle.{name}_device", text)


def _network(network: LinuxNetwork) -> Iterator[Setting]:
    if network.class_id:
        yield Setting("net_cls", "net_cls.classid", str(network.class_id))
    for interface in network.priorities:
        text = f"{interface.name} {interface.priority}"
        yield Setting("net_prio", "net_prio.ifpriomap", text)
