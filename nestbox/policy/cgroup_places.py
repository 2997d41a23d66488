"""Which cgroup a controller can be had in for a container, or why none. Pure.

The ladder on version 2: below our own cgroup; below our own after its processes went to a leaf
(self-nesting); a scope of the user's systemd; beside our own, below the nearest cgroup above that
has the controllers or can have them, as the root of the hierarchy always can; nowhere. On version 1
each controller has a hierarchy for itself, of which a user may own some.

Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from nestbox.kernel.namespaces import INITIAL_INODE
from nestbox.outer.derived import hierarchy_of, outside_id
from nestbox.outer.facts import CgroupMode, CgroupRoom, Subject
from nestbox.policy.cgroup_nesting import LEAF, is_leaf, what_stops_nesting
from nestbox.policy.subjects import need

if TYPE_CHECKING:
    from nestbox.outer.facts import Cgroup, CgroupHierarchy, OuterEnvironment

SLICE: Final = "user.slice"  # of the user's systemd
_WRITABLE_REMEDY: Final = (
    "make the cgroup file system writable outside; for docker, with --privileged, or with "
    "--security-opt writable-cgroups=true"
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a controller can be had; without a hierarchy, why nowhere."""

    hierarchy: CgroupHierarchy | None = None
    parent: str = ""
    enable: bool = False  # in the parent, for its children
    nest: bool = False  # after the processes of the parent went to a leaf
    scope: bool = False  # the user's systemd makes it
    note: str = ""
    cause: str = ""
    remedy: str = ""


class _Parent(NamedTuple):
    """A cgroup of v2, what is enabled for its children, and what is or can be."""

    directory: str
    enabled: frozenset[str]
    can: frozenset[str]
    nest: bool = False
    scope: bool = False


def place_of(controller: str, together: frozenset[str], environment: OuterEnvironment) -> Place:
    """Return where this controller can be had, with those that are asked for together with it."""
    cgroup = need(environment.cgroup, Subject.CGROUP)
    if cgroup.mode is CgroupMode.NONE:
        return Place(
            cause="no cgroup file system is mounted",
            remedy="mount one outside, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    hierarchy = hierarchy_of(cgroup.hierarchies, controller)
    if hierarchy is None:
        return Place(
            cause=f"no mounted hierarchy has the {controller} controller (cgroup {cgroup.mode})"
            f"{_shown_by(cgroup)}",
            remedy=f"let the outer environment delegate {controller}; for systemd, with "
            f"Delegate={controller}",
        )
    if hierarchy.version == 1:
        return _place_v1(hierarchy, environment)
    return _place_v2(controller, together, hierarchy, environment)


def _shown_by(cgroup: Cgroup) -> str:
    """Return the file that shows which controllers version 2 has here, as a part of a sentence."""
    own = next((one.directory for one in cgroup.hierarchies if one.version == 2), None)
    return f": {own}/cgroup.controllers has it not" if own else ""


def _place_v1(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> Place:
    if hierarchy.directory is None:
        return _hidden(hierarchy)
    if not hierarchy.writable:
        return _read_only(hierarchy, environment)
    return Place(hierarchy=hierarchy, parent=hierarchy.directory)


def _place_v2(
    controller: str,
    together: frozenset[str],
    hierarchy: CgroupHierarchy,
    environment: OuterEnvironment,
) -> Place:
    parents = _parents(hierarchy, environment)
    parent = _best_parent(parents, together) if parents else None
    if (parent is None or not parent.can >= together) and _may_take_all(hierarchy, environment):
        parent = _Parent(hierarchy.mountpoint, frozenset(), together)
    if parent is None or controller not in parent.can:
        return _nowhere(controller, hierarchy, environment)
    return Place(
        hierarchy=hierarchy,
        parent=parent.directory,
        enable=controller not in parent.enabled,
        nest=parent.nest,
        scope=parent.scope,
        note=_note(parent, hierarchy),
    )


def _note(parent: _Parent, hierarchy: CgroupHierarchy) -> str:
    if parent.scope:
        return f", a scope of the user's systemd in {parent.directory}"
    if parent.nest:
        return (
            f", below our own cgroup {hierarchy.path}, whose {hierarchy.processes} processes go "
            f"to {LEAF} in it"
        )
    if parent.directory != hierarchy.directory:
        return f", beside our own cgroup {hierarchy.path}, which has processes in it"
    return ""


def _parents(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> tuple[_Parent, ...]:
    """Return the cgroups in which the container's can be made, in the order of the ladder."""
    if hierarchy.directory is None or not hierarchy.writable:
        return _managed(environment)
    own, above = _own(hierarchy, environment), _above(hierarchy)
    if is_leaf(hierarchy):
        return (*own, *above, *_managed(environment))
    # What is above can be systemd's, which is rather asked than passed over.
    return (*own, *_managed(environment), *above)


def _managed(environment: OuterEnvironment) -> tuple[_Parent, ...]:
    """Return the slice in which the user's systemd makes scopes."""
    manager = need(environment.cgroup, Subject.CGROUP).manager
    if manager is None:
        return ()
    everything = frozenset(manager.controllers)
    return (_Parent(f"{manager.directory}/{SLICE}", everything, everything, scope=True),)


def _own(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> tuple[_Parent, ...]:
    """Return our own cgroup, as it is and as it can become."""
    assert hierarchy.directory is not None
    everything = frozenset(hierarchy.controllers)
    is_root = hierarchy.kind == ""
    enabled = frozenset(hierarchy.enabled)
    if not is_root and hierarchy.kind not in {"domain", None}:
        return (_Parent(hierarchy.directory, frozenset(), frozenset()),)
    free = everything if hierarchy.processes == 0 or is_root else frozenset[str]()
    can = enabled.union(free) if _has_room(hierarchy.room) else frozenset[str]()
    own = _Parent(hierarchy.directory, enabled, can)
    if free or what_stops_nesting(hierarchy, environment):
        return (own,)
    return own, _Parent(hierarchy.directory, enabled, everything, nest=True)


def _above(hierarchy: CgroupHierarchy) -> tuple[_Parent, ...]:
    return tuple(
        _Parent(
            place.directory,
            frozenset(place.enabled),
            frozenset(place.enabled).union(place.controllers if place.takes_controllers else ()),
        )
        for place in hierarchy.above
        if place.writable and _has_room(place.room)
    )


def _has_room(room: CgroupRoom) -> bool:
    return room.count is None or room.count > 0


def _best_parent(parents: tuple[_Parent, ...], together: frozenset[str]) -> _Parent:
    """Return the first with the most of these controllers: a process is in one cgroup of v2."""
    return max(parents, key=lambda parent: len(parent.can & together))


def _may_take_all(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> bool:
    """Return whether the mount shows the root of the hierarchy, which takes any controller.

    For recordings of which nothing above our own cgroup is known.
    """
    if hierarchy.directory is None or not hierarchy.writable:
        return False
    if hierarchy.above or hierarchy.kind is not None:
        return False
    first = need(environment.cgroup, Subject.CGROUP).first_namespace
    if first is not None:
        return first
    namespaces = need(environment.namespaces, Subject.NAMESPACES)
    return namespaces.own.get("cgroup") == INITIAL_INODE["cgroup"]


def _nowhere(controller: str, hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> Place:
    if hierarchy.directory is None:
        return _hidden(hierarchy)
    if not hierarchy.writable:
        return _read_only(hierarchy, environment)
    if controller not in hierarchy.controllers:
        return Place(
            cause=f"the {controller} controller is not in {hierarchy.directory}/cgroup.controllers",
            remedy=f"let the outer environment delegate {controller}: write +{controller} to "
            "cgroup.subtree_control of the cgroup above; for systemd, with "
            f"Delegate={controller}",
        )
    if not _has_room(hierarchy.room):
        return Place(
            cause=f"{hierarchy.room.file} leaves no room for another cgroup",
            remedy=f"raise it outside: echo max > {hierarchy.room.file}",
        )
    obstacle = what_stops_nesting(hierarchy, environment)
    assert obstacle is not None  # without one the controller can be had
    return Place(cause=obstacle.cause, remedy=obstacle.remedy)


def _hidden(hierarchy: CgroupHierarchy) -> Place:
    return Place(
        cause=f"our own cgroup {hierarchy.path} is not visible under {hierarchy.mountpoint}",
        remedy="mount the cgroup file system outside so that our own cgroup is in it",
    )


def _read_only(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> Place:
    uid = need(environment.identity, Subject.IDENTITY).uid
    outer = environment.user_namespace
    # Who is root in a user namespace is somebody else to the owner of the cgroup.
    outside = uid if outer is None or outer.initial else outside_id(outer.uid_map, uid)
    cause = f"our own cgroup {hierarchy.directory} is not writable"
    if outside in {0, None}:
        return Place(cause=cause, remedy=_WRITABLE_REMEDY)
    delegate = f"let the outer environment delegate the cgroup to uid {outside}"
    return Place(
        cause=cause, remedy=delegate if uid == 0 else f"run nestbox as root, or {delegate}"
    )
