"""Programs of the outer environment that a launch may call, and the subordinate ids of our user."""

from __future__ import annotations

import os
import pwd
import stat

from nestbox.kernel import procfs, reading
from nestbox.outer.facts import SubordinateIds, Tools

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_program(name: str, search_path: str) -> str | None:
    """Return the absolute path of a program; directories that are not absolute are passed over."""
    for directory in search_path.split(":"):
        path = f"{directory}/{name}"
        if not directory.startswith("/"):
            continue
        try:
            regular = stat.S_ISREG(os.stat(path).st_mode)
        except OSError:
            continue
        if regular and os.access(path, os.X_OK, effective_ids=True):
            return path
    return None


def parse_subordinate_ids(text: bytes, owners: frozenset[str]) -> tuple[SubordinateIds, ...]:
    """Return the ranges that belong to any of these names or numbers. Source: subuid(5).

    Lines that do not have the form ``owner:first:count`` are passed over, as newuidmap does.
    """
    ranges = []
    for line in procfs.decode(text).splitlines():
        fields = line.strip().split(":")
        if len(fields) != 3 or fields[0] not in owners:
            continue
        if all(field.isascii() and field.isdigit() for field in fields[1:]):
            ranges.append(SubordinateIds(first=int(fields[1]), count=int(fields[2])))
    return tuple(ranges)


def _owners(uid: int) -> frozenset[str]:
    """Return what may stand for a user in /etc/subuid: the number, and the name if there is one."""
    try:
        return frozenset({str(uid), pwd.getpwuid(uid).pw_name})
    except KeyError:
        return frozenset({str(uid)})


def _ranges(path: str, owners: frozenset[str]) -> tuple[SubordinateIds, ...]:
    """Return our ranges of a file, none when it cannot be read."""
    try:
        return parse_subordinate_ids(reading.read_file(path), owners)
    except OSError:
        return ()


def observe_tools(search_path: str | None = None) -> Tools:
    """Return the helper programs that are on the PATH (ours unless given) and our id ranges."""
    path = os.environ.get("PATH", DEFAULT_PATH) if search_path is None else search_path
    owners = _owners(os.geteuid())
    return Tools(
        newuidmap=find_program("newuidmap", path),
        newgidmap=find_program("newgidmap", path),
        fuse_overlayfs=find_program("fuse-overlayfs", path),
        pasta=find_program("pasta", path),
        slirp4netns=find_program("slirp4netns", path),
        subuid=_ranges("/etc/subuid", owners),
        subgid=_ranges("/etc/subgid", owners),
    )
