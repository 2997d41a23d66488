"""A mount of type ``cgroup``: what it is on each kind of machine. Pure.

Version 2: a cgroup2 mount, or a bind where the kernel gives none. Version 1: a tmpfs with one
mount for each hierarchy. In a cgroup namespace of its own each shows what is below the container's
cgroup; without one it is a bind of that cgroup, so that the others stay out of sight.

Source: cgroup_namespaces(7); runtime-spec config-linux.md "Control groups"; CVE-2023-25809.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.facts import CgroupMode, Subject
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.subjects import need

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy
    from nestbox.policy.config.case import Case
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.decision import Decision

_CLOSED: Final = ("nosuid", "nodev", "noexec")


def mount_cgroups(
    base: MountSpec, case: Case
) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    """Return the mounts for one of type ``cgroup``, the first of them at its target."""
    cgroup = need(case.environment.cgroup, Subject.CGROUP)
    wish = case.wish(f"mount {base.target}", "cgroup", "mounts")
    closed: tuple[Decision, ...] = ()
    disabled = case.cgroups is not None and case.cgroups.version == 0
    if disabled and "ro" not in base.attributes:
        # What it would write to is the runtime's cgroup, in a namespace too (CVE-2023-25809).
        base = msgspec.structs.replace(base, attributes=(*base.attributes, "ro"))
        cause = "the container has no cgroup of its own"
        remedy = "use another cgroup manager, or mount it read-only"
        closed = (wish.short("cgroup, ro", cause=cause, remedy=remedy),)
    match cgroup.mode:
        case CgroupMode.V2:
            mounts, decisions = _version_2(base, case)
            return mounts, (*closed, *decisions)
        case CgroupMode.V1 | CgroupMode.HYBRID:
            hierarchies = tuple(one for one in cgroup.hierarchies if one.version == 1)
            return _version_1(base, hierarchies, case), closed
        case CgroupMode.NONE:
            cause = "no cgroup file system is mounted outside"
            remedy = "mount one outside, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
            return (), (wish.short("not mounted", cause=cause, remedy=remedy),)


def _version_2(base: MountSpec, case: Case) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    # A user namespace may mount the cgroup namespaces that belong to it, and no other.
    if not case.foreign or case.creates("cgroup"):
        return (msgspec.structs.replace(base, fstype="cgroup2"),), ()
    wish = case.wish(f"mount {base.target}", "cgroup", "mounts")
    cause = "the cgroup namespace belongs to another user namespace"
    hierarchy = need(case.environment.cgroup, Subject.CGROUP).hierarchies[0]
    if case.cgroups is not None and has_unified(case.cgroups, hierarchy):
        bind = _bind(base, base.target, case.cgroups.directories[UNIFIED])
        return (bind,), (wish.granted("bind of the container's own cgroup", cause=cause),)
    bind = _bind(base, base.target, hierarchy.mountpoint)
    if "ro" in bind.attributes:
        return (bind,), (wish.granted("bind of the outer cgroup file system, ro", cause=cause),)
    # Never writable: it has the cgroups of others that belong to our user (CVE-2023-25809).
    bind = msgspec.structs.replace(bind, attributes=(*bind.attributes, "ro"))
    short = wish.short(
        "bind of the outer cgroup file system, ro",
        cause=cause,
        remedy="give the container a cgroup namespace of its own",
    )
    return (bind,), (short,)


def has_unified(location: CgroupLocation, hierarchy: CgroupHierarchy) -> bool:
    """Return whether the container gets its cgroup of version 2.

    A rootless one whose configuration names none does without, where none could be made.
    """
    directory = location.directories.get(UNIFIED)
    if directory is None or location.named or not location.rootless:
        return directory is not None
    parent = directory.rpartition("/")[0]
    beside = (one.writable for one in hierarchy.above if one.directory == parent)
    return next(beside, hierarchy.writable)


def _version_1(
    base: MountSpec, hierarchies: tuple[CgroupHierarchy, ...], case: Case
) -> tuple[MountSpec, ...]:
    top = msgspec.structs.replace(
        base, fstype="tmpfs", source="tmpfs", attributes=_CLOSED, options=(("mode", "755"),)
    )
    mounts = [top]
    links: list[MountSpec] = []
    for hierarchy in hierarchies:
        name = hierarchy.mountpoint.rpartition("/")[2]
        target = f"{base.target}/{name}"
        if case.has("cgroup"):
            mounts.append(_new(base, target, hierarchy))
        elif (own := _own_cgroup(hierarchy, case)) is not None:
            mounts.append(_bind(base, target, own))
        elif hierarchy.directory is not None:
            # That of the runtime, where it is for others to say what is written (CVE-2023-25809).
            closed = msgspec.structs.replace(base, attributes=(*base.attributes, "ro"))
            mounts.append(_bind(closed, target, hierarchy.directory))
        else:
            continue
        links += _links(base.target, name)
    return (*mounts, *links)


def _access(base: MountSpec) -> tuple[str, ...]:
    return ("ro",) if "ro" in base.attributes else ()


def _new(base: MountSpec, target: str, hierarchy: CgroupHierarchy) -> MountSpec:
    """Return a mount of a hierarchy as the container's cgroup namespace shows it."""
    pairs = (item.partition("=") for item in hierarchy.controllers)
    return MountSpec(
        fstype="cgroup",
        source="cgroup",
        target=target,
        attributes=(*_CLOSED, *_access(base)),
        options=tuple((key, value) for key, _, value in pairs),
        propagation=base.propagation,
    )


def _bind(base: MountSpec, target: str, source: str) -> MountSpec:
    return MountSpec(
        fstype="bind",
        source=source,
        target=target,
        attributes=(*_CLOSED, *_access(base)),
        recursive=True,
        propagation=base.propagation or "slave",
        recursive_propagation=True,
    )


def _own_cgroup(hierarchy: CgroupHierarchy, case: Case) -> str | None:
    """Return the directory of the container's cgroup; None where it has none of its own."""
    directories = case.cgroups.directories if case.cgroups else {}
    if case.cgroups and case.cgroups.rootless and not hierarchy.writable:
        return None  # none could be made, so that the container stays in the runtime's
    for controller in hierarchy.controllers:
        if controller in directories:
            return directories[controller]
    return None


def _links(top: str, name: str) -> tuple[MountSpec, ...]:
    """Return for a hierarchy of several controllers (``cpu,cpuacct``) a link for each of them."""
    if "," not in name:
        return ()
    return tuple(
        MountSpec(fstype="link", source=name, target=f"{top}/{controller}", propagation="")
        for controller in name.split(",")
    )
