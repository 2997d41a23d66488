"""The cgroups of one container: made before it, entered by it, removed after it."""

from __future__ import annotations

import errno
import os
import time

from nestbox.errors import LaunchError, reason
from nestbox.kernel.writing import write_file
from nestbox.policy.launch_spec import CgroupSpec

PREFIX = "nestbox-"
_REMOVAL_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.001


def directory_of(spec: CgroupSpec, container: str) -> str:
    """Return the directory of the container's cgroup in one hierarchy."""
    return f"{spec.parent}/{PREFIX}{container}"


def create(spec: CgroupSpec, container: str) -> None:
    """Make the container's cgroup and write its limits.

    Raises:
        LaunchError: the kernel refused one of them; the message names the file and value.
    """
    directory = directory_of(spec, container)
    for controller in spec.enable:
        _write(f"{spec.parent}/cgroup.subtree_control", f"+{controller}")
    try:
        os.mkdir(directory, 0o755)
    except OSError as error:
        raise _failed(f"make the cgroup {directory}", error) from error
    for name, value in spec.settings:
        _write(f"{directory}/{name}", value)
    for name, value in spec.optional:
        if os.path.exists(f"{directory}/{name}"):
            _write(f"{directory}/{name}", value)


def enter(spec: CgroupSpec, container: str, pid: int) -> None:
    """Move a process into the container's cgroup. Raises LaunchError."""
    _write(f"{directory_of(spec, container)}/cgroup.procs", str(pid))


def remove(directory: str) -> None:
    """Remove a cgroup whose processes are dead or dying; one that is gone is no failure.

    With it go the cgroups that the container made in it, as it can where it is mounted rw.

    Raises:
        OSError: processes are still in it after two seconds.
    """
    deadline = time.monotonic() + _REMOVAL_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            # The kernel lets go of the last process a moment after its parent was told.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        if not _remove_below(directory):
            time.sleep(pause)
            pause *= 2


def _remove_below(directory: str) -> bool:
    """Remove what can be removed below a cgroup, deepest first; return whether anything was."""
    removed = False
    try:
        for _, names, _, descriptor in os.fwalk(directory, topdown=False):
            for name in names:
                try:
                    os.rmdir(name, dir_fd=descriptor)
                    removed = True
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
    except FileNotFoundError:
        return True  # by somebody else
    return removed


def _write(path: str, value: str) -> None:
    try:
        write_file(path, value)
    except OSError as error:
        raise _failed(f"write {value!r} to {path}", error) from error


def _failed(what: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"cannot {what}",
        cause=reason(error),
        remedy="run `nestbox doctor`: it says which controllers can be used here",
    )
