"""Values of ``linux``: namespaces, devices and the kernel's other settings.

Source: runtime-spec 1.3, config-linux.md.
"""

from typing import Final

import msgspec

from nestbox.oci.mounts import LinuxIDMapping
from nestbox.oci.numbers import Int64, UInt32
from nestbox.oci.resources import LinuxResources
from nestbox.oci.seccomp import LinuxSeccomp

# The type in a configuration, and the name in /proc/PID/ns and in nestbox.kernel.namespaces.
NAMESPACES: Final[dict[str, str]] = {
    "cgroup": "cgroup",
    "ipc": "ipc",
    "mount": "mnt",
    "network": "net",
    "pid": "pid",
    "time": "time",
    "user": "user",
    "uts": "uts",
}
ROOTFS_PROPAGATIONS: Final = ("private", "shared", "slave", "unbindable")
# Source: set_mempolicy(2).
MEMORY_POLICY_MODES: Final = (
    "MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE",
)  # fmt: skip
MEMORY_POLICY_FLAGS: Final = (
    "MPOL_F_NUMA_BALANCING",
    "MPOL_F_RELATIVE_NODES",
    "MPOL_F_STATIC_NODES",
)
PERSONALITY_DOMAINS: Final = ("LINUX", "LINUX32")
TIME_CLOCKS: Final = ("boottime", "monotonic")


class LinuxNamespace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A namespace to create, or to join when it has a path."""

    type: str
    path: str = ""


class LinuxTimeOffset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a clock of the time namespace is ahead."""

    secs: Int64 = 0
    nanosecs: UInt32 = 0


class LinuxDevice(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"file_mode": "fileMode"}
):
    """A device node or, with type ``p``, a fifo."""

    path: str
    type: str
    major: Int64 = 0
    minor: Int64 = 0
    file_mode: UInt32 | None = None  # None is 0666
    uid: UInt32 | None = None
    gid: UInt32 | None = None


class LinuxNetDevice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An interface to move into the container; without a name it keeps its own."""

    name: str = ""


class LinuxIntelRdt(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "clos_id": "closID",
        "l3_cache_schema": "l3CacheSchema",
        "mem_bw_schema": "memBwSchema",
        "enable_monitoring": "enableMonitoring",
    },
):
    """Cache and memory bandwidth; without ``clos_id`` the class is called as the container."""

    clos_id: str = ""
    schemata: tuple[str, ...] = ()
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_monitoring: bool = False


class LinuxMemoryPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of set_mempolicy(2); nodes as ``0-3,7``."""

    mode: str = ""
    nodes: str = ""
    flags: tuple[str, ...] = ()


class LinuxPersonality(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The argument of personality(2)."""

    domain: str = ""
    flags: tuple[str, ...] = ()


class Linux(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``linux``: an empty value is what is absent, None where absent is not empty."""

    uid_mappings: tuple[LinuxIDMapping, ...] = ()
    gid_mappings: tuple[LinuxIDMapping, ...] = ()
    sysctl: dict[str, str] = {}
    resources: LinuxResources | None = None
    cgroups_path: str = ""
    namespaces: tuple[LinuxNamespace, ...] = ()
    devices: tuple[LinuxDevice, ...] = ()
    net_devices: dict[str, LinuxNetDevice] = {}
    seccomp: LinuxSeccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    intel_rdt: LinuxIntelRdt | None = None
    memory_policy: LinuxMemoryPolicy | None = None
    personality: LinuxPersonality | None = None
    time_offsets: dict[str, LinuxTimeOffset] = {}
