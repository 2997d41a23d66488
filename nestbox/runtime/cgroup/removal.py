"""Removing the cgroups of a container, with those that were made in them."""

from __future__ import annotations

import errno
import os
import time

from nestbox.errors import LaunchError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.cgroup.files import Located

_REMOVAL_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 0.001
_LINKS_OF_ONE = 2  # of a directory without others in it


def remove(location: Located) -> None:
    """Remove a container's cgroups, whose processes are dead or dying, and its unit of systemd.

    What is gone already is no failure. Directories above them go too where they are there because
    of this container and nothing else is in them.

    Raises:
        LaunchError: something is still in one; the others are removed.
    """
    failed: list[LaunchError] = []
    if location.unit is not None:
        from nestbox.runtime.cgroup.systemd import stop

        try:
            stop(location)
        except LaunchError as error:
            # A unit without a cgroup has no processes, so that nothing is lost with it.
            if any(map(os.path.isdir, location.directories.values())):
                failed.append(error)
    for directory in dict.fromkeys(location.directories.values()):
        try:
            remove_directory(directory)
        except OSError as error:
            failed.append(_left(directory, error))
    for directory in sorted(location.made, key=len, reverse=True):
        try:
            os.rmdir(directory)
        except OSError:
            pass  # another container is in it by now, or removed it
    if failed:
        raise failed[0]


def remove_directory(directory: str) -> None:
    """Remove a cgroup and those below it; one that is gone is no failure.

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
            # On a read-only mount that is the answer for what never was there, too.
            if error.errno in {errno.EROFS, errno.EACCES} and not os.path.isdir(directory):
                return
            # The kernel lets go of the last process a moment after its parent was told.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        if not _remove_below(directory):
            time.sleep(pause)
            pause *= 2


def _remove_below(directory: str) -> bool:
    """Remove what can be removed below a cgroup, deepest first; return whether anything was."""
    try:
        if os.stat(directory).st_nlink <= _LINKS_OF_ONE:
            return False
    except FileNotFoundError:
        return True  # by somebody else
    from nestbox.runtime.cgroup.walk import visit

    removed = False

    def leave(above: int, name: str) -> None:
        nonlocal removed
        try:
            os.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            pass  # by somebody else
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return
        removed = True

    try:
        visit(directory, leave=leave)
    except FileNotFoundError:
        return True  # by somebody else
    return removed


def _left(directory: str, error: OSError) -> LaunchError:
    return LaunchError(
        "unable to remove container's cgroup",
        cause=f"failed to remove {directory}: {reason(error)}",
        remedy=f"end the processes that {directory}/cgroup.procs names, and delete it again",
    )
