"""Giving a container's cgroup to its user, so that the container can make cgroups in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.files import read

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_location import CgroupLocation

_DELEGATE = "/sys/kernel/cgroup"
# What kernels before 4.15 let be delegated. Source: cgroups(7).
_FILES = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


def give_to(location: CgroupLocation, uid: int) -> None:
    """Change the owner of the cgroup and of the files that the kernel says are the delegate's.

    Limits stay ours: what the user owns lets it divide what it has, not get more.

    Raises:
        LaunchError: the kernel refused.
    """
    directory = location.directories.get(UNIFIED)
    if directory is None:
        return
    try:
        os.chown(directory, uid, -1)
        for name in _delegated():
            try:
                os.chown(f"{directory}/{name}", uid, -1, follow_symlinks=False)
            except FileNotFoundError:
                continue  # of a controller that is not enabled
    except OSError as error:
        raise LaunchError(
            f"cannot give the cgroup {directory} to uid {uid}",
            cause=reason(error),
            remedy="mount the cgroup file system read-only in the container",
        ) from error


def _delegated() -> tuple[str, ...]:
    try:
        names = read(_DELEGATE, "delegate").split()
    except FileNotFoundError:
        return _FILES
    return tuple(name for name in names if "/" not in name)
