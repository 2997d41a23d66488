"""The mounted cgroup hierarchies and our own place in each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from nestbox.kernel import procfs
from nestbox.kernel.namespaces import INITIAL_INODE
from nestbox.outer.cgroup_details import (
    DOMAIN,
    closed_files,
    count_processes,
    kind_of,
    observe_details,
    room_below,
)
from nestbox.outer.cgroup_manager import observe_manager
from nestbox.outer.derived import mount_at
from nestbox.outer.facts import Cgroup, CgroupAbove, CgroupHierarchy, CgroupMode, Mount
from nestbox.outer.sources import Sources, read_optional

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOT_CONTROLLERS = frozenset(  # options of a v1 super block that name no controller
    {"rw", "ro", "noprefix", "clone_children", "cpuset_v2_mode", "xattr", "favordynmods", "none"}
)

_LIMITS = frozenset({"memory", "cpu", "pids"})


def v1_controllers(mount: Mount) -> tuple[str, ...]:
    """Return the controllers of a v1 hierarchy, ``name=X`` included. Source: cgroups(7)."""
    return tuple(
        option
        for option in mount.super_options
        if option not in _NOT_CONTROLLERS and not option.startswith(("release_agent=", "seclabel"))
    )


def directory_of(mount: Mount, path: str) -> str | None:
    """Return the directory at which a mount shows our own cgroup; None when it does not show it.

    The mount may show a part of the hierarchy only: its root is a cgroup too, seen from the root
    of our cgroup namespace, just as the path in /proc/self/cgroup is.
    """
    if path.startswith("/..") or mount.root.startswith("/.."):
        return None
    root = mount.root.rstrip("/")
    if path != root and not path.startswith(root + "/"):
        return None
    return (mount.target.rstrip("/") + path[len(root) :]).rstrip("/") or "/"


def _own_path(lines: tuple[procfs.CgroupLine, ...], controllers: tuple[str, ...]) -> str | None:
    """Return our own cgroup in the hierarchy with these controllers; none means version 2."""
    for line in lines:
        if controllers and set(line.controllers) & set(controllers):
            return line.path
        if not controllers and line.id == 0 and not line.controllers:
            return line.path
    return None


def _words(path: str) -> tuple[str, ...]:
    """Return the words of a file, none when it cannot be read."""
    return tuple((read_optional(path) or "").split())


def _is_writable(mount: Mount, directory: str) -> bool:
    """Return whether a child cgroup could be made here, by the mount and by access(2)."""
    if "ro" in mount.options or "ro" in mount.super_options:
        return False
    return os.access(directory, os.W_OK | os.X_OK)


def observe_above(mount: Mount, own: str) -> tuple[CgroupAbove, ...]:
    """Return the cgroups above our own that the mount shows, up to one with every limit."""
    found: list[CgroupAbove] = []
    directory = own
    while len(directory) > len(mount.target) and not (found and set(found[-1].enabled) >= _LIMITS):
        directory = directory.rpartition("/")[0]
        found.append(_observe_one_above(mount, directory))
    return tuple(found)


def _observe_one_above(mount: Mount, directory: str) -> CgroupAbove:
    # Only the root of the hierarchy has no type. Source: cgroup-v2.rst, "Core Interface Files".
    kind = kind_of(directory)
    usable = kind in {"", DOMAIN} and not closed_files(directory)
    return CgroupAbove(
        directory=directory,
        controllers=_words(f"{directory}/cgroup.controllers"),
        enabled=_words(f"{directory}/cgroup.subtree_control"),
        # Below a threaded one there can be threaded ones alone, which hold no container.
        writable=usable and _is_writable(mount, directory),
        takes_controllers=not kind or count_processes(directory)[0] == 0,
        room=room_below(directory, mount.target),
    )


def _observe_hierarchy(
    mount: Mount, lines: tuple[procfs.CgroupLine, ...]
) -> CgroupHierarchy | None:
    """Return one mounted hierarchy; None when we are not in it, as after it was unmounted."""
    version = 2 if mount.fstype == "cgroup2" else 1
    controllers = v1_controllers(mount) if version == 1 else ()
    path = _own_path(lines, controllers)
    if path is None:
        return None
    directory = directory_of(mount, path)
    writable = directory is not None and _is_writable(mount, directory)
    if directory is not None and not writable and not os.path.isdir(directory):
        directory = None
    enabled = controllers
    above: tuple[CgroupAbove, ...] = ()
    details: dict[str, Any] | None = None
    if version == 2 and directory is not None:
        controllers = _words(f"{directory}/cgroup.controllers")
        enabled = _words(f"{directory}/cgroup.subtree_control")
        above = observe_above(mount, directory)
        details = observe_details(directory, mount.target)
    return CgroupHierarchy(
        version=version,
        controllers=controllers,
        mountpoint=mount.target,
        path=path,
        directory=directory,
        writable=writable,
        enabled=enabled,
        above=above,
        **({"processes": None} if details is None else details),
    )


def _best(first: CgroupHierarchy, second: CgroupHierarchy) -> CgroupHierarchy:
    """Return the more useful of two mounts of one hierarchy; the first when they are equal."""
    rank = (first.directory is not None, first.writable)
    return second if (second.directory is not None, second.writable) > rank else first


def _is_covered(mount: Mount, mounts: Sequence[Mount]) -> bool:
    if any(one.parent == mount.id and one.target == mount.target for one in mounts):
        return True
    found = mount_at(mounts, mount.target)
    return found is not None and found != mount  # None: our root is no mount, as after chroot(2)


def mode_of(versions: frozenset[int]) -> CgroupMode:
    """Return how the cgroup file systems are mounted, from the versions that are."""
    if versions == {1, 2}:
        return CgroupMode.HYBRID
    if versions:
        return CgroupMode.V2 if 2 in versions else CgroupMode.V1
    return CgroupMode.NONE


def observe_cgroup(sources: Sources, environment: Mapping[str, str] | None = None) -> Cgroup:
    """Return the hierarchies that are mounted here, in the order of their mounts.

    ``environment`` tells where the bus of the user's systemd is.

    A hierarchy that is mounted more than once appears once, by the mount that shows our own cgroup
    and can be written. Raises EnvironmentUnreadable. Source: cgroups(7), kernel cgroup-v2.rst.
    """
    lines = sources.cgroups
    found: dict[tuple[str, ...], CgroupHierarchy] = {}
    for mount in sources.mounts:
        # Of one under another mount nothing can be reached, and that one can be anything.
        if mount.fstype not in {"cgroup", "cgroup2"} or _is_covered(mount, sources.mounts):
            continue
        hierarchy = _observe_hierarchy(mount, lines)
        if hierarchy is None:
            continue
        key = hierarchy.controllers if hierarchy.version == 1 else ()
        found[key] = _best(found[key], hierarchy) if key in found else hierarchy
    hierarchies = tuple(found.values())
    versions = frozenset(hierarchy.version for hierarchy in hierarchies)
    mode = mode_of(versions)
    manager, uid = None, os.geteuid()
    if mode is CgroupMode.V2 and environment and uid:
        manager = observe_manager(hierarchies[0].mountpoint, environment, uid=uid)
    return Cgroup(
        mode=mode,
        hierarchies=hierarchies,
        first_namespace=_in_first_namespace(),
        manager=manager,
    )


def _in_first_namespace() -> bool | None:
    """Return whether we are in the cgroup namespace of the boot; None when that cannot be told."""
    try:
        return os.stat("/proc/thread-self/ns/cgroup").st_ino == INITIAL_INODE["cgroup"]
    except OSError:
        return None  # a kernel without them
