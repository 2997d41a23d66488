"""Programs of the outer environment that a launch may call, and the subordinate ids of our user."""

from __future__ import annotations

import os
import pwd
import stat

from nestbox.outer.facts import MapTool, Tools
from nestbox.outer.subordinate_ids import (
    GID_FILE,
    UID_FILE,
    Ranges,
    ask_name_service,
    read_ranges,
    uses_name_service,
)

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
        if regular and os.access(path, os.X_OK):
            return path
    return None


def observe_map_tool(path: str | None) -> MapTool | None:
    """Return what gives newuidmap or newgidmap its rights; None without it.

    Source: execve(2), "Set-user-ID"; capabilities(7), "File capabilities"; mount(2), MS_NOSUID.
    """
    if path is None:
        return None
    from nestbox.outer.root import parse_file_capabilities

    try:
        facts = os.stat(path)
        nosuid = bool(os.statvfs(path).f_flag & os.ST_NOSUID)
    except OSError:
        return None
    try:
        found = parse_file_capabilities(os.getxattr(path, "security.capability"))
    except OSError:
        found = None
    return MapTool(
        setuid=facts.st_uid if facts.st_mode & stat.S_ISUID else None,
        file_permitted=found[0] if found else 0,
        nosuid=nosuid,
    )


def _account(uid: int) -> str | None:
    """Return the name of a user, None for one without an entry in the user database."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _subordinate_ids(path: str, uid: int, name: str | None) -> tuple[Ranges, Ranges]:
    """Return the ranges of uids and gids, from the name service where that is in charge."""
    program = find_program("getsubids", path) if name and uses_name_service() else None
    if program is not None and name is not None:
        return (
            ask_name_service(program, name, groups=False),
            ask_name_service(program, name, groups=True),
        )
    owners = frozenset({str(uid), name} if name else {str(uid)})
    return read_ranges(UID_FILE, owners), read_ranges(GID_FILE, owners)


def observe_tools(search_path: str | None = None) -> Tools:
    """Return the helper programs that are on the PATH (ours unless given) and our id ranges."""
    path = os.environ.get("PATH", DEFAULT_PATH) if search_path is None else search_path
    uid = os.geteuid()
    name = _account(uid)
    uids, gids = _subordinate_ids(path, uid, name)
    newuidmap, newgidmap = find_program("newuidmap", path), find_program("newgidmap", path)
    return Tools(
        newuidmap=newuidmap,
        newgidmap=newgidmap,
        # It sees all of the root: whose PATH it is does not choose it.
        fuse_overlayfs=find_program("fuse-overlayfs", DEFAULT_PATH),
        pasta=find_program("pasta", path),
        slirp4netns=find_program("slirp4netns", path),
        subuid=uids.ranges,
        subgid=gids.ranges,
        newuidmap_rights=observe_map_tool(newuidmap),
        newgidmap_rights=observe_map_tool(newgidmap),
        subordinate_notes=(*uids.notes, *gids.notes),
        subordinate_shared=(*uids.shared, *gids.shared),
        account=name is not None,
    )
