"""Removing a container whose state is damaged: what its process and its names still show."""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, reason
from nestbox.runtime.cgroup.removal import remove_directory
from nestbox.runtime.oci.container import Held
from nestbox.runtime.oci.destroy import kill_process
from nestbox.runtime.processes import is_alive, read_process

_NOT_CONTROLLERS = frozenset({"rw", "ro", "xattr", "clone_children", "noprefix"})


def salvage(held: Held) -> None:
    """End the first process, remove the cgroups it is in, and remove the directory.

    Only cgroups that have the container's id in their name are removed: without a state nothing
    says that another one is the container's.

    Raises:
        LaunchError: something is left.
    """
    process = read_process(held.path("process"))
    directories: tuple[str, ...] = ()
    if process is not None and is_alive(process):
        directories = _cgroups_of(process.pid, os.path.basename(held.directory))
        kill_process(process)
    try:
        for directory in directories:
            remove_directory(directory)
        held.remove()
    except OSError as error:
        raise LaunchError(
            f"cannot remove what is left of {held.directory!r}",
            cause=reason(error),
            remedy="remove what is in it by hand",
        ) from error


def _cgroups_of(pid: int, container: str) -> tuple[str, ...]:
    """Return the directories of the cgroups of a process that are named after the container."""
    from nestbox.kernel.procfs import parse_cgroup
    from nestbox.kernel.reading import read_file

    mounts = _hierarchies()
    found = []
    for line in parse_cgroup(read_file(f"/proc/{pid}/cgroup")):
        mountpoint = mounts.get(frozenset(line.controllers))
        if mountpoint is not None and container in os.path.basename(line.path):
            found.append(f"{mountpoint}{line.path}")
    return tuple(found)


def _hierarchies() -> dict[frozenset[str], str]:
    """Return where each hierarchy is mounted, by its controllers as in proc_pid_cgroup(5)."""
    from nestbox.kernel.procfs import parse_mountinfo
    from nestbox.kernel.reading import read_file

    found: dict[frozenset[str], str] = {}
    for mount in parse_mountinfo(read_file("/proc/self/mountinfo")):
        if mount.fstype == "cgroup2":
            found.setdefault(frozenset(), mount.target)
        elif mount.fstype == "cgroup":
            found.setdefault(frozenset(mount.super_options) - _NOT_CONTROLLERS, mount.target)
    return found
