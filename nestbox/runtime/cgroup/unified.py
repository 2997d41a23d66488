"""The cgroup of a container on version 2, with every controller that can be had enabled for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.files import read, write
from nestbox.runtime.cgroup.tree import cannot_apply, may_do_without

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.config.cgroup_setting import Setting

_MODE = 0o755


def make_unified(location: CgroupLocation, settings: Sequence[Setting]) -> dict[str, str]:
    """Make the container's cgroup; return it, or nothing for a rootless one that may not have it.

    Raises:
        LaunchError: it cannot be made, or not with the controllers that its limits need.
    """
    mount, directory = location.mounts[UNIFIED], location.directories[UNIFIED]
    controllers: list[str] = []
    try:
        controllers = read(mount, "cgroup.controllers").split()
        _make_path(location, controllers, settings)
    except OSError as error:
        if not may_do_without(location, error):
            raise cannot_apply(f"make {directory}", error) from error
        if any(setting.controller in controllers for setting in settings):
            raise LaunchError(
                "rootless needs no limits + no cgrouppath when no permission is granted for "
                "cgroups",
                cause=f"{_limited(controllers, settings)} is limited, and {directory} cannot be "
                f"made: {reason(error)}",
                remedy="let the outer environment delegate a cgroup to the user and name it with "
                "linux.cgroupsPath, use --systemd-cgroup where the user has a systemd, or leave "
                "the limits out",
            ) from error
        return {}
    return {UNIFIED: directory}


def _limited(controllers: Sequence[str], settings: Sequence[Setting]) -> str:
    """Return the controllers that limits are set for."""
    asked = dict.fromkeys(setting.controller for setting in settings)
    return ", ".join(name for name in asked if name in controllers)


def _make_path(
    location: CgroupLocation, controllers: Sequence[str], settings: Sequence[Setting]
) -> None:
    """Make each cgroup on the way, and enable the controllers in all but the last."""
    mount, directory = location.mounts[UNIFIED], location.directories[UNIFIED]
    current = mount
    for part in directory[len(mount) :].strip("/").split("/"):
        if current == location.nest:
            _make_room(current, settings)
        _enable(current, controllers)
        current = f"{current.rstrip('/')}/{part}"
        try:
            os.mkdir(current, _MODE)
        except FileExistsError:
            pass
        _settle_type(current, settings)


def _make_room(own: str, settings: Sequence[Setting]) -> None:
    """Enable below our own cgroup what limits need; its processes are in the way. Raises OSError.

    Raises:
        LaunchError: they cannot be moved to a leaf of it.
    """
    available = read(own, "cgroup.controllers").split()
    needed = {setting.controller for setting in settings}
    wanted = [name for name in available if name in needed]
    if wanted:
        from nestbox.runtime.cgroup.nesting import nest

        nest(own, wanted)


def _enable(directory: str, controllers: Sequence[str]) -> None:
    """Enable what can be enabled for the children; what cannot shows when a limit is written."""
    present = read(directory, "cgroup.subtree_control").split()
    wanted = [f"+{name}" for name in controllers if name not in present]
    if not wanted:
        return
    try:
        write(directory, "cgroup.subtree_control", " ".join(wanted))
    except OSError:
        for one in wanted:
            try:
                write(directory, "cgroup.subtree_control", one)
            except OSError:
                continue  # one that is refused must not cost the others


def _settle_type(directory: str, settings: Sequence[Setting]) -> None:
    """Make a cgroup threaded where only such a one can hold processes. Source: cgroups(7)."""
    kind = read(directory, "cgroup.type")
    if kind == "domain":
        return
    from nestbox.policy.config.cgroup_v2 import needs_domain

    if needs_domain(tuple(settings)):
        state = "an invalid state" if kind == "domain invalid" else f"{kind} mode"
        raise LaunchError(
            f'cannot enter cgroupv2 "{directory}" with domain controllers -- it is in {state}',
            cause="a cgroup above it has processes in it",
            remedy="move them to a cgroup beside it, or leave the limits of memory and io out",
        )
    if kind == "domain invalid":
        write(directory, "cgroup.type", "threaded")
