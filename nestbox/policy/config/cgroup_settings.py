"""What is written into the files of a container's cgroups, in which order. Pure.

Where a number is 0 it is not set, as everywhere in the specification's resources.

Source: runtime-spec config-linux.md "Control groups"; Documentation/admin-guide/cgroup-v1 and
cgroup-v2.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import ConfigError

if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxResources
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.config.cgroup_setting import Setting

_IGNORED_ON_V2 = (
    ("memory", "swappiness"),
    ("memory", "disable_oom_killer"),
    ("cpu", "realtime_runtime"),
    ("cpu", "realtime_period"),
    ("block_io", "leaf_weight"),
)


def settings(resources: LinuxResources | None, location: CgroupLocation) -> tuple[Setting, ...]:
    """Return what to write for all resources but devices, grouped by controller, in order.

    Raises:
        ConfigError: the resources contradict themselves, or cannot be expressed in this version.
    """
    if location.version == 0 or resources is None:
        return ()
    if location.version == 1 and resources.unified:
        raise ConfigError(
            "invalid configuration",
            cause="cannot use unified on cgroup v1",
            remedy="use the other properties of linux.resources, or boot with cgroup v2",
        )
    if location.version == 1:
        from nestbox.policy.config.cgroup_v1 import settings_v1

        return tuple(settings_v1(resources))
    from nestbox.policy.config.cgroup_v2 import settings_v2

    return tuple(settings_v2(resources))


def ignored(resources: LinuxResources | None, location: CgroupLocation) -> tuple[str, ...]:
    """Return a sentence for each resource that is set and has no effect in this version."""
    if resources is None:
        return ()
    found = []
    memory = resources.memory
    if memory and (memory.kernel or memory.kernel_tcp):
        found.append("Kernel memory settings are ignored and will be removed")
    if location.version == 2:
        for part, field in _IGNORED_ON_V2:
            if getattr(getattr(resources, part), field, None):
                found.append(f"linux.resources: {part}.{field} has no effect with cgroup v2")
        if resources.network:
            found.append("linux.resources: network has no effect with cgroup v2")
    if location.version == 0:
        found.append("linux.resources has no effect: cgroups are disabled")
    return tuple(found)
