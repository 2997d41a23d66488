"""The cgroup of a further process of a container, as ``exec --cgroup`` names it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nestbox.errors import UsageError
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.policy.config.cgroup_location import CgroupLocation


def sub_cgroup(location: CgroupLocation, arguments: Sequence[str]) -> CgroupLocation:
    """Return where a process goes: ``path`` below all of the container's cgroups, or on version 1
    several ``controller[,controller…]:path``, with the others as they are.

    Raises:
        UsageError: an argument is malformed, names a controller that the container has not, or
            leads out of the container's cgroup.
    """
    if not arguments:
        return location
    directories = dict(location.directories)
    named = _parse(arguments)
    if "" in named and len(named) == 1:
        path = named[""]
        below = {key: _below(own, path, path) for key, own in directories.items()}
        return msgspec.structs.replace(location, directories=below)
    for controller, path in named.items():
        if controller not in directories or controller == UNIFIED:
            raise _invalid(
                f"{controller}:{path}", f"unknown controller {controller} in SubCgroupPaths"
            )
        directories[controller] = _below(directories[controller], path, f"{controller}:{path}")
    return msgspec.structs.replace(location, directories=directories)


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for argument in arguments:
        controllers, colon, path = argument.partition(":")
        if not colon:
            if len(arguments) != 1:
                raise _invalid(argument, "missing <controller>: prefix")
            return {"": argument}
        for controller in controllers.split(","):
            if not controller:
                raise _invalid(argument, "empty <controller> prefix")
            if controller in named:
                raise _invalid(argument, f"controller {controller} specified multiple times")
            named[controller] = path
    return named


def _below(directory: str, path: str, argument: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in path:
        raise _invalid(argument, f"bad sub cgroup path: {path}")
    return "/".join((directory, *parts))


def _invalid(argument: str, cause: str) -> UsageError:
    return UsageError(
        f"invalid --cgroup argument: {argument}",
        cause=cause,
        remedy="name a cgroup that exists below the container's, as in controller:path",
    )
