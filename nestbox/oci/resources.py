"""Values of ``linux.resources``: what the container's cgroup limits.

None is a limit that the configuration leaves alone, which is not the same as zero.

Source: runtime-spec 1.3, config-linux.md, "Control groups".
"""

import msgspec

from nestbox.oci.numbers import Int64, UInt16, UInt32, UInt64


class LinuxDeviceCgroup(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the device list, applied in order; None is every number."""

    allow: bool = False
    type: str = ""  # a, b, c; empty is a
    major: Int64 | None = None
    minor: Int64 | None = None
    access: str = ""  # of r, w and m


class LinuxMemory(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "kernel_tcp": "kernelTCP",
        "disable_oom_killer": "disableOOMKiller",
        "use_hierarchy": "useHierarchy",
        "check_before_update": "checkBeforeUpdate",
    },
):
    """Limits in bytes, -1 for none; ``swap`` is memory and swap together."""

    limit: Int64 | None = None
    reservation: Int64 | None = None
    swap: Int64 | None = None
    kernel: Int64 | None = None  # of kernels that are no more
    kernel_tcp: Int64 | None = None
    swappiness: UInt64 | None = None
    disable_oom_killer: bool | None = None
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class LinuxCPU(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Shares of processor time; times are in microseconds, lists as ``0-3,7``."""

    shares: UInt64 | None = None
    quota: Int64 | None = None
    burst: UInt64 | None = None
    period: UInt64 | None = None
    realtime_runtime: Int64 | None = None
    realtime_period: UInt64 | None = None
    cpus: str = ""
    mems: str = ""
    idle: Int64 | None = None


class LinuxPids(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The number of tasks; 0 is a limit, -1 is none."""

    limit: Int64 | None = None


class LinuxWeightDevice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The weight of one block device."""

    major: Int64 = 0
    minor: Int64 = 0
    weight: UInt16 | None = None
    leaf_weight: UInt16 | None = None


class LinuxThrottleDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The rate of one block device, in bytes or operations per second."""

    major: Int64 = 0
    minor: Int64 = 0
    rate: UInt64 = 0


class LinuxBlockIO(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "leaf_weight": "leafWeight",
        "weight_device": "weightDevice",
        "throttle_read_bps_device": "throttleReadBpsDevice",
        "throttle_write_bps_device": "throttleWriteBpsDevice",
        "throttle_read_iops_device": "throttleReadIOPSDevice",
        "throttle_write_iops_device": "throttleWriteIOPSDevice",
    },
):
    """Weights and limits of block devices."""

    weight: UInt16 | None = None
    leaf_weight: UInt16 | None = None
    weight_device: tuple[LinuxWeightDevice, ...] = ()
    throttle_read_bps_device: tuple[LinuxThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[LinuxThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[LinuxThrottleDevice, ...] = ()
    throttle_write_iops_device: tuple[LinuxThrottleDevice, ...] = ()


class LinuxHugepageLimit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Bytes in huge pages of one size, such as ``2MB``."""

    page_size: str = ""
    limit: UInt64 = 0


class LinuxInterfacePriority(msgspec.Struct, frozen=True, kw_only=True):
    """The priority of one interface (net_prio)."""

    name: str = ""
    priority: UInt32 = 0


class LinuxNetwork(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"class_id": "classID"}
):
    """Marks of the packets that the container sends (net_cls, net_prio)."""

    class_id: UInt32 | None = None
    priorities: tuple[LinuxInterfacePriority, ...] = ()


class LinuxRdma(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Limits of one RDMA device."""

    hca_handles: UInt32 | None = None
    hca_objects: UInt32 | None = None


class LinuxResources(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"block_io": "blockIO", "hugepage_limits": "hugepageLimits"},
):
    """``linux.resources``, and what ``update --resources`` takes."""

    devices: tuple[LinuxDeviceCgroup, ...] = ()
    memory: LinuxMemory | None = None
    cpu: LinuxCPU | None = None
    pids: LinuxPids | None = None
    block_io: LinuxBlockIO | None = None
    hugepage_limits: tuple[LinuxHugepageLimit, ...] = ()
    network: LinuxNetwork | None = None
    rdma: dict[str, LinuxRdma] = {}
    unified: dict[str, str] = {}  # files of cgroup v2 and what to write to them
