"""What the target of each mount is: a directory, or a single file that an engine mounted there.

No server is asked: one that is gone would hold whoever looks for minutes, or for ever.
"""

from __future__ import annotations

import stat

import msgspec

from nestbox.kernel.syscalls import stat_cached
from nestbox.outer.derived import is_below
from nestbox.outer.facts import Mount

# These are never single files.
_REMOTE = frozenset({"afs", "autofs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3"})


def with_kinds(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return the mounts with ``kind`` filled in, where that can be told without a server."""
    served = tuple(mount.target for mount in mounts if _is_served(mount))
    return tuple(
        mount
        if mount.fstype in _REMOTE or _lies_in(mount.target, served)
        else msgspec.structs.replace(mount, kind=_kind(mount.target))
        for mount in mounts
    )


def _is_served(mount: Mount) -> bool:
    return mount.fstype in _REMOTE or mount.fstype.partition(".")[0] in {"fuse", "fuseblk"}


def _lies_in(target: str, places: tuple[str, ...]) -> bool:
    """Return whether the way to a target leads through one of these mounts, by its text."""
    return any(target != place and is_below(target, place) for place in places)


def _kind(path: str) -> str | None:
    """Return what a path is; None when it cannot be reached, as under another mount."""
    try:
        mode = stat_cached(path).mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    return "socket" if stat.S_ISSOCK(mode) else "other"
