"""Making a container's cgroups and writing its limits into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import LaunchError
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.cpuset import fill_cpuset
from nestbox.runtime.cgroup.freezer import is_frozen
from nestbox.runtime.cgroup.processes import processes
from nestbox.runtime.cgroup.tree import exists, make_directories
from nestbox.runtime.cgroup.writes import apply_group

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.config.cgroup_setting import Setting


def check_unused(location: CgroupLocation) -> None:
    """Refuse a cgroup that exists already with processes in it, or frozen. Raises LaunchError."""
    found = processes(location) if exists(location) else ()
    remedy = "end what uses it, or give linux.cgroupsPath another path"
    if found:
        raise LaunchError(
            f"container's cgroup is not empty: {len(found)} process(es) found",
            cause=f"process {found[0]} is in {location.main}",
            remedy=remedy,
        )
    if is_frozen(location):
        raise LaunchError(
            "container's cgroup unexpectedly frozen",
            cause=f"{location.main} was frozen before the container was created",
            remedy=remedy,
        )


def make(location: CgroupLocation, settings: Sequence[Setting]) -> CgroupLocation:
    """Make the container's cgroups and write its limits; return the location as it came to be.

    Without some of its directories it comes back for a rootless container only. Who calls has
    written the location, with ``made`` from ``tree.missing``, into the container's state.

    Raises:
        LaunchError: one cannot be made, or a limit cannot be set; what was made is still there.
    """
    if location.version == 0:
        return location
    if location.version == 2:
        from nestbox.runtime.cgroup.unified import make_unified

        made = make_unified(location, settings)
    else:
        made = make_directories(location)
        if "cpuset" in made:
            own = [setting for setting in settings if setting.controller == "cpuset"]
            fill_cpuset(location.mounts["cpuset"], made["cpuset"], own)
    for setting in settings if location.version == 1 else ():
        if setting.controller in location.directories and setting.controller not in made:
            raise _no_controller(location, setting.controller)
    location = msgspec.structs.replace(location, directories=made)
    apply(location, settings)
    return location


def apply(location: CgroupLocation, settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Write settings, those of one controller together; return those that the kernel has not.

    Only optional ones are returned.

    Raises:
        LaunchError: a controller is not there, or the kernel refuses a value.
    """
    absent: list[Setting] = []
    for controller in dict.fromkeys(setting.controller for setting in settings):
        group = [setting for setting in settings if setting.controller == controller]
        key = UNIFIED if location.version == 2 else controller
        directory = location.directories.get(key)
        if directory is None:
            raise _no_controller(location, controller)
        absent += apply_group(location.version, directory, group)
    return tuple(absent)


def _no_controller(location: CgroupLocation, controller: str) -> LaunchError:
    hierarchy = "v2" if location.version == 2 else "v1"
    cause = f"no cgroup {hierarchy} hierarchy with the {controller} controller can be used here"
    if controller in location.directories:
        cause = f"{location.directories[controller]} may not be made"
    return LaunchError(
        f"cannot set {controller} limit: container could not join or create cgroup",
        cause=cause,
        remedy=f"let the outer environment delegate {controller}, or leave the limit out",
    )
