"""What the target of each mount is: a directory, or a single file that an engine mounted there."""

from __future__ import annotations

import os
import stat

import msgspec

from nestbox.outer.facts import Mount

# A server that is gone would hold lstat(2) for minutes, and these are never single files.
_REMOTE = frozenset({"afs", "autofs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3"})


def with_kinds(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return the mounts with ``kind`` filled in, where that can be told without a server."""
    return tuple(
        mount
        if mount.fstype in _REMOTE
        else msgspec.structs.replace(mount, kind=_kind(mount.target))
        for mount in mounts
    )


def _kind(path: str) -> str | None:
    """Return what a path is; None when it cannot be reached, as under another mount."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    return "socket" if stat.S_ISSOCK(mode) else "other"
