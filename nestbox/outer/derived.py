"""What follows from facts by pure reasoning: which mount holds a path, where a capability was lost.

Nothing here chooses: a policy asks these questions, and doctor shows the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nestbox.outer.facts import Ancestor, CapabilitySets, CgroupHierarchy, IdMap, Mount


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """The process from which on a capability is missing in the bounding set.

    ``ancestor`` is None when every visible ancestor still has it, so that this process itself gave
    it up before it became nestbox. ``outermost`` is true when the ancestor is the outermost
    visible one: what started it is at the root of the loss.
    """

    ancestor: Ancestor | None
    outermost: bool


def is_below(path: str, directory: str) -> bool:
    """Return whether a path is the directory itself or lies below it, by its text alone."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def mount_at(mounts: Sequence[Mount], path: str) -> Mount | None:
    """Return the mount that holds an absolute path without symbolic links; None for no mounts.

    Follows the mounts as path lookup does: of those on the present one, the one whose target is
    the shortest prefix of the path is entered first. Source: proc_pid_mountinfo(5).
    """
    return _lookup(_children(mounts), _root_of(mounts), path)


def overmounts(mounts: Sequence[Mount], directory: str) -> tuple[Mount, ...]:
    """Return the reachable mounts strictly below a directory, in the order of the table.

    For ``/proc`` these are what makes the kernel refuse a fresh proc in a user namespace. A mount
    that another one hides is not among them.
    """
    children, root = _children(mounts), _root_of(mounts)
    return tuple(
        mount
        for mount in mounts
        if mount.target != directory
        and is_below(mount.target, directory)
        and _lookup(children, root, mount.target) == mount
    )


def visible(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return the mounts that a lookup of their target reaches, in the order of the table."""
    children, root = _children(mounts), _root_of(mounts)
    return tuple(mount for mount in mounts if _lookup(children, root, mount.target) == mount)


def _children(mounts: Sequence[Mount]) -> dict[int, list[Mount]]:
    """Return the mounts by the id of the mount that they are mounted on."""
    children: dict[int, list[Mount]] = {}
    for mount in mounts:
        if mount.parent != mount.id:
            children.setdefault(mount.parent, []).append(mount)
    return children


def _root_of(mounts: Sequence[Mount]) -> Mount | None:
    """Return the lowest mount at ``/``: the one whose parent is out of sight."""
    ids = {mount.id for mount in mounts if mount.parent != mount.id}
    roots = [mount for mount in mounts if mount.target == "/"]
    outermost = [mount for mount in roots if mount.parent not in ids]
    return next(iter(outermost or roots), None)


def _lookup(children: dict[int, list[Mount]], root: Mount | None, path: str) -> Mount | None:
    """Return the mount at which a lookup of the path ends, from the root downwards."""
    current = root
    seen: set[int] = set()  # ids of a table that changed while it was read could form a loop
    while current is not None and current.id not in seen:
        seen.add(current.id)
        inside = [m for m in children.get(current.id, ()) if is_below(path, m.target)]
        if not inside:
            return current
        current = min(inside, key=lambda mount: len(mount.target))
    return current


def lost_at(own: CapabilitySets, ancestry: Sequence[Ancestor], number: int) -> Loss | None:
    """Return where a capability left the bounding set; None when this process still has it.

    ``ancestry`` goes from our parent to PID 1, as in OuterEnvironment.
    """
    if own.bounding >> number & 1:
        return None
    lost: Ancestor | None = None
    for ancestor in ancestry:
        if ancestor.sets.bounding >> number & 1:
            break
        lost = ancestor
    return Loss(ancestor=lost, outermost=lost is not None and lost == ancestry[-1])


def hierarchy_of(hierarchies: Sequence[CgroupHierarchy], controller: str) -> CgroupHierarchy | None:
    """Return the hierarchy that has a controller (``"memory"``), None when no mounted one does.

    Our own cgroup of v2 lacks one that is not enabled above it.
    """
    for hierarchy in hierarchies:
        if controller in hierarchy.controllers or any(
            controller in place.controllers for place in hierarchy.above
        ):
            return hierarchy
    return None


def outside_id(rows: Sequence[IdMap], inside: int) -> int | None:
    """Return the outer id of an id of the namespace, None when it is not mapped."""
    for row in rows:
        if row.inside <= inside < row.inside + row.count:
            return row.outside + inside - row.inside
    return None


def mapped_ids(rows: Sequence[IdMap]) -> int:
    """Return how many ids a map holds."""
    return sum(row.count for row in rows)
