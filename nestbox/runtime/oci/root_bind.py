"""The root of a container without a mount namespace: bound onto itself, in ours."""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, reason
from nestbox.kernel import constants as c
from nestbox.kernel.syscalls import umount2


def mount_of(path: str) -> int:
    """Return the id of the mount that a path is of. Source: proc_pid_fdinfo(5). Raises OSError."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name == "mnt_id":
                    return int(value)
    finally:
        os.close(fd)
    return 0


def unbind(path: str, before: int) -> None:
    """Unmount what lies over a root that was of the mount ``before``.

    Whatever was mounted there when the container was created stays. Raises LaunchError.
    """
    try:
        if mount_of(path) != before:
            umount2(path, c.MNT_DETACH | c.UMOUNT_NOFOLLOW)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LaunchError(
            f"cannot unmount {path!r}",
            cause=reason(error),
            remedy="unmount it, and delete the container again",
        ) from error
