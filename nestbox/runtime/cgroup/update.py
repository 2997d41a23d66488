"""Changing the limits of a running container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import LaunchError
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.policy.config.cgroup_settings import settings
from nestbox.policy.config.cgroup_update import merged
from nestbox.runtime.cgroup.apply import apply
from nestbox.runtime.cgroup.files import read

if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxMemory, LinuxResources
    from nestbox.policy.config.cgroup_location import CgroupLocation


def update(
    location: CgroupLocation, present: LinuxResources, change: LinuxResources
) -> LinuxResources:
    """Write what changes; return the resources that the container has then, to be kept.

    A refused change leaves the container with its present limits, as far as the kernel takes them
    back.

    Raises:
        ConfigError: the change contradicts itself or the present limits.
        LaunchError: the kernel refuses it, or memory that is in use is above the new limit and the
            change asks to check that.
    """
    wanted = merged(present, change)
    found = settings(wanted, location)
    if location.version == 2 and wanted.memory and wanted.memory.check_before_update:
        _check_usage(location, wanted.memory)
    try:
        if location.unit is not None:
            from nestbox.runtime.cgroup.systemd import set_properties

            set_properties(location, wanted)
        apply(location, found)
    except LaunchError:
        _restore(location, present)
        raise
    return wanted


def _restore(location: CgroupLocation, present: LinuxResources) -> None:
    try:
        apply(location, settings(present, location))
    except LaunchError:
        return  # the first refusal is the one that tells something


def _check_usage(location: CgroupLocation, memory: LinuxMemory) -> None:
    """Refuse a limit below the usage: the kernel would kill processes. Raises LaunchError."""
    try:
        usage = int(read(location.directories[UNIFIED], "memory.current"))
    except (OSError, KeyError):
        return  # only where it can be known
    for name, limit in (("memory+swap", memory.swap or 0), ("memory", memory.limit or 0)):
        if 0 < limit <= usage:
            raise LaunchError(
                f"rejecting {name} limit {limit} <= usage {usage}",
                cause="linux.resources.memory.checkBeforeUpdate is set",
                remedy="ask for a limit above what the container uses",
            )
