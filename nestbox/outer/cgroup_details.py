"""What decides whether our own cgroup of version 2 can be divided, and whether there is room in it.

Source: Documentation/admin-guide/cgroup-v2.rst; cgroups(7), "Cgroups delegation".
"""

from __future__ import annotations

import os

from nestbox.kernel import reading
from nestbox.outer.facts import NO_LIMIT, CgroupRoom
from nestbox.outer.sources import read_optional

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOMAIN = "domain"
# What a delegate writes to move processes and to divide what it has.
_DELEGATE_FILES = ("cgroup.procs", "cgroup.subtree_control")
# systemd marks what it hands over, for everybody to read and for root alone (the older one).
_MARKS = ("user.delegate", "trusted.delegate")
_OWN_SCOPE = "init.scope"  # in which it is itself; see systemd.special(7)


def observe_details(directory: str, mountpoint: str) -> dict[str, Any]:
    """Return the fields of a CgroupHierarchy that only our own cgroup of version 2 has."""
    processes, unseen = count_processes(directory)
    return {
        "processes": processes,
        "unseen": unseen,
        "kind": kind_of(directory),
        "owner": _owner(directory),
        "delegated": _is_marked(directory),
        "managed": os.path.isdir(f"{directory}/{_OWN_SCOPE}"),
        "closed": closed_files(directory),
        "room": room_below(directory, mountpoint),
    }


def count_processes(directory: str) -> tuple[int | None, int]:
    """Return how many processes a cgroup has, and how many of them are not in our pid namespace.

    The first is None when they cannot be listed, as in a threaded cgroup.
    """
    try:
        listed = reading.read_file(f"{directory}/cgroup.procs").split()
    except OSError:
        return None, 0
    return len(listed), listed.count(b"0")


def closed_files(directory: str) -> tuple[str, ...]:
    """Return which of the files that a delegate writes we cannot."""
    return tuple(name for name in _DELEGATE_FILES if not _may_write(f"{directory}/{name}"))


def kind_of(directory: str) -> str:
    """Return the type of a cgroup; the root of the hierarchy alone has none, which is empty."""
    return (read_optional(f"{directory}/cgroup.type") or "").strip()


def _owner(directory: str) -> int | None:
    try:
        return os.stat(directory).st_uid
    except OSError:
        return None


def _may_write(path: str) -> bool:
    return os.access(path, os.W_OK)


def _is_marked(directory: str) -> bool:
    for name in _MARKS:
        try:
            if os.getxattr(directory, name) == b"1":
                return True
        except OSError:
            continue  # not there, not ours to read, or a kernel before 5.7
    return False


def room_below(directory: str, mountpoint: str) -> CgroupRoom:
    """Return how many cgroups more fit directly below this one.

    The limits of each cgroup above count too, as far as the mount shows them.
    """
    found = NO_LIMIT
    depth = 1
    while True:
        for room in (_room_by_count(directory), _room_by_depth(directory, depth)):
            if found.count is None or (room.count is not None and room.count < found.count):
                found = room
        if len(directory) <= len(mountpoint):
            return found
        directory = directory.rpartition("/")[0]
        depth += 1


def _room_by_count(directory: str) -> CgroupRoom:
    file = f"{directory}/cgroup.max.descendants"
    limit = _number(file)
    if limit is None:
        return NO_LIMIT
    words = (read_optional(f"{directory}/cgroup.stat") or "nr_descendants 0").split()
    used = int(words[words.index("nr_descendants") + 1])
    return CgroupRoom(count=max(limit - used, 0), file=file)


def _room_by_depth(directory: str, depth: int) -> CgroupRoom:
    file = f"{directory}/cgroup.max.depth"
    limit = _number(file)
    return NO_LIMIT if limit is None or depth <= limit else CgroupRoom(count=0, file=file)


def _number(path: str) -> int | None:
    """Return the number in a file; None for "max" and at the root, which has no such files."""
    text = (read_optional(path) or "").strip()
    return int(text) if text.isdecimal() else None
