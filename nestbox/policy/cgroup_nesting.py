"""Whether the processes of our own cgroup may go to a leaf of it, to divide what it has. Pure.

Version 2 has no controllers below a cgroup with processes in it. Where our own cgroup is ours alone
- the root of our cgroup namespace, as in a container, or delegated to us - they can go to a leaf,
and containers beside it. A cgroup that a manager (systemd) looks after is never rearranged.

Source: cgroup-v2.rst, "No Internal Process Constraint" and "Delegation"; systemd,
CGROUP_DELEGATION.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from nestbox.outer.facts import Subject
from nestbox.policy.subjects import in_initial_namespace, need

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy, OuterEnvironment

# Not nestbox-NAME, which is the cgroup of a container.
LEAF: Final = "nestbox.init"
_DOMAIN: Final = "domain"
# How the cgroups of systemd's units end that can have processes. Source: systemd.unit(5).
_UNITS: Final = (".scope", ".service", ".slice", ".socket", ".mount", ".swap")
_ROOM: Final = 2  # the leaf and one container


class Obstacle(NamedTuple):
    """Why the processes of our own cgroup cannot be moved, and what to do about it."""

    cause: str
    remedy: str


def may_nest(environment: OuterEnvironment) -> bool:
    """Return whether the processes of our own cgroup of version 2 may go to a leaf of it."""
    for hierarchy in need(environment.cgroup, Subject.CGROUP).hierarchies:
        if hierarchy.version == 2 and hierarchy.directory is not None:
            return hierarchy.writable and what_stops_nesting(hierarchy, environment) is None
    return False


def is_leaf(hierarchy: CgroupHierarchy) -> bool:
    """Return whether our own cgroup is a leaf already, beside which there is room for others."""
    return hierarchy.path.endswith(f"/{LEAF}")


def what_stops_nesting(
    hierarchy: CgroupHierarchy, environment: OuterEnvironment
) -> Obstacle | None:
    """Return what stops self-nesting in a writable cgroup with processes; None where it works."""
    own = hierarchy.directory
    if hierarchy.kind not in {_DOMAIN, None}:
        return Obstacle(
            f"our own cgroup {own} is of type {hierarchy.kind!r}, below which no container can be",
            "start nestbox in another cgroup, of type domain",
        )
    if not _is_ours(hierarchy, environment):
        return Obstacle(
            _busy(hierarchy) + ", and nothing says that it is ours to rearrange",
            _own_cgroup_remedy(hierarchy, environment),
        )
    if hierarchy.closed:
        return Obstacle(
            f"{own}/{hierarchy.closed[0]} is not writable",
            f"delegate it too, as with: chown {_uid(environment)} {own}/{hierarchy.closed[0]}",
        )
    if hierarchy.unseen:
        return Obstacle(
            f"{_busy(hierarchy)}, {hierarchy.unseen} of them of another pid namespace, which "
            "cannot be moved from here",
            "move them to a child cgroup from outside, or end them",
        )
    room = hierarchy.room
    if room.count is not None and room.count < _ROOM:
        return Obstacle(
            f"{room.file} leaves room for {room.count} more, and it takes {_ROOM}",
            f"raise it outside: echo max > {room.file}",
        )
    return None


def _busy(hierarchy: CgroupHierarchy) -> str:
    count = "an unknown number of" if hierarchy.processes is None else str(hierarchy.processes)
    return (
        f"our own cgroup {hierarchy.directory} has {count} processes in it, and controllers can "
        "only be enabled for the children of one without"
    )


def _is_ours(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> bool:
    cgroup = need(environment.cgroup, Subject.CGROUP)
    if hierarchy.managed or is_leaf(hierarchy):
        return False
    if hierarchy.delegated and hierarchy.owner in {None, _uid(environment)}:
        return True  # a mark on somebody else's is meant for him, and can be set by him
    if hierarchy.path == "/" and cgroup.first_namespace is False:
        return True
    # A user can own what somebody else manages: a unit of the user's systemd is no exception.
    is_unit = hierarchy.path.endswith(_UNITS)
    return not is_unit and _belongs_to_us(hierarchy, environment)


def _belongs_to_us(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> bool:
    """Return whether somebody gave us the cgroup: what nobody gave away is the machine's root's."""
    uid = _uid(environment)
    given = uid != 0 or not in_initial_namespace(environment)
    return given and hierarchy.owner == uid


def _uid(environment: OuterEnvironment) -> int:
    return need(environment.identity, Subject.IDENTITY).uid


def _own_cgroup_remedy(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> str:
    if not (hierarchy.managed or hierarchy.path.endswith(_UNITS)):
        return (
            "move the processes of the outer container to a child cgroup first, or set the limit "
            "outside"
        )
    if _uid(environment) == 0:
        return (
            "run it as: systemd-run --scope -p Delegate=yes nestbox ..., or set the limit outside"
        )
    # Where its bus is there the user's systemd is asked, which makes this needless.
    return (
        "let nestbox ask the user's systemd: set XDG_RUNTIME_DIR as a login does (or loginctl "
        "enable-linger), or set the limit outside"
    )
