"""The directories of a container's cgroups: found unused, made, entered."""

from __future__ import annotations

import errno
import os
import time

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED, is_optional, main_directory
from nestbox.runtime.cgroup.files import read, why, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestbox.runtime.cgroup.files import Located

DENIED = frozenset({errno.EPERM, errno.EACCES, errno.EROFS})
_NEW_TASK_TRIES = 5
_NEW_TASK_SECONDS = 0.03
_MODE = 0o755
_PATH = os.O_PATH | os.O_DIRECTORY
_TASKS = os.O_WRONLY | os.O_NONBLOCK  # a state may name a pipe
_REMEDY = "run `nestbox doctor`: it says which controllers can be used here"
# Source: cgroups(7), "Delegation containment rules".
_BESIDE = (
    "start the runtime in a cgroup below the one that was delegated: who moves a process needs "
    "cgroup.procs of what is above both"
)


def exists(location: Located) -> bool:
    """Return whether the container's cgroup is there."""
    main = main_directory(location.version, location.directories)
    return main is not None and os.path.isdir(main)


def missing(location: Located) -> tuple[str, ...]:
    """Return the directories above the container's cgroups that do not exist yet, highest first.

    They belong into the location's ``made`` and into the state before anything is made.
    """
    found: list[str] = []
    for key, directory in location.directories.items():
        above: list[str] = []
        parent = os.path.dirname(directory)
        while len(parent) > len(location.mounts[key]) and not os.path.isdir(parent):
            above.append(parent)
            parent = os.path.dirname(parent)
        found += reversed(above)
    return tuple(dict.fromkeys(found))


def make_directories(location: Located) -> dict[str, str]:
    """Make the container's cgroups on version 1; return those that it has.

    Left out are, for a rootless container whose configuration names no path, those that may not be
    made, and hierarchies without controllers that cannot be used.

    Raises:
        LaunchError: another one cannot be made.
    """
    made: dict[str, str] = {}
    for key, directory in location.directories.items():
        try:
            _make_directory(directory)
        except OSError as error:
            if not is_optional(location.version, key) and not may_do_without(location, error):
                raise cannot_apply(f"make {directory}", error) from error
        else:
            made[key] = directory
    return made


def _make_directory(directory: str) -> None:
    for _ in range(_NEW_TASK_TRIES):
        try:
            os.mkdir(directory, _MODE)
        except FileExistsError:
            return
        except FileNotFoundError:
            # Once more when a container beside it removed what they have in common.
            os.makedirs(os.path.dirname(directory), _MODE, exist_ok=True)
        else:
            return
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)


def may_do_without(location: Located, error: OSError) -> bool:
    """Return whether this refusal costs a rootless container its cgroup and nothing else."""
    return location.rootless and not location.named and error.errno in DENIED


def cannot_apply(what: str, error: OSError) -> LaunchError:
    """Return the error for a step of making or entering a cgroup that the kernel refused."""
    return LaunchError(
        f"unable to apply cgroup configuration: cannot {what}",
        cause=why(error),
        remedy=_REMEDY,
    )


def enter(location: Located, pid: int, born_in: frozenset[str] = frozenset()) -> None:
    """Move a process into the container's cgroups, but for those that it is in by its birth.

    Raises:
        LaunchError: the kernel refused.
    """
    for key, directory in _each(location):
        if key in born_in:
            continue
        try:
            enter_directory(directory, pid)
        except OSError as error:
            if not is_optional(location.version, key) and not may_do_without(location, error):
                # "adding pid" and "to cgroups": runc's words, which callers match.
                raise LaunchError(
                    f"unable to apply cgroup configuration: error adding pid {pid} to cgroups",
                    cause=f"{directory}: {reason(error)}",
                    remedy=_BESIDE if error.errno == errno.EACCES and key == UNIFIED else _REMEDY,
                ) from error


def _each(location: Located) -> Iterator[tuple[str, str]]:
    """Yield each directory once, though controllers that are mounted together share one."""
    seen: set[str] = set()
    for key, directory in location.directories.items():
        if directory not in seen:
            seen.add(directory)
            yield key, directory


def enter_directory(directory: str, pid: int) -> None:
    """Move a process into one cgroup. Raises OSError."""
    for tries_left in range(_NEW_TASK_TRIES - 1, -1, -1):
        try:
            write(directory, "cgroup.procs", str(pid))
            return
        except OSError as error:
            # A task that is being born cannot be moved yet.
            if error.errno != errno.EINVAL or not tries_left:
                raise
        time.sleep(_NEW_TASK_SECONDS)


def open_tasks(location: Located) -> dict[str, int]:
    """Return the descriptors by which a child enters version 1 cgroups by itself, by their key.

    With them is the directory of version 2 beside them, as `open_directory` returns it. What cannot
    be opened is left out; the child is then moved there by `enter`, whose error is the one to tell.
    """
    if location.version != 1 or location.unit is not None:
        return {}
    found = {}
    for key, directory in _each(location):
        path, flags = (directory, _PATH) if key == UNIFIED else (f"{directory}/tasks", _TASKS)
        try:
            found[key] = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
    return found


def open_directory(location: Located) -> int | None:
    """Return a descriptor of the cgroup for CLONE_INTO_CGROUP; None on version 1, and with systemd,
    which makes the cgroup when there is a process.

    Raises:
        LaunchError: it cannot be opened.
    """
    if location.version != 2 or location.unit is not None:
        return None
    directory = location.directories.get(UNIFIED)
    if directory is None:
        return None
    try:
        return os.open(directory, _PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise cannot_apply(f"open {directory}", error) from error


def directory_of_process(location: Located, pid: int) -> str | None:
    """Return the version 2 cgroup that a process is in; None when that cannot be told.

    A container without a cgroup namespace may have moved its first process, or have made its own
    cgroup one that no process can enter; another process of it then goes where the first one is.
    """
    mount = location.mounts.get(UNIFIED)
    if location.version != 2 or mount is None:
        return None
    try:
        text = read(f"/proc/{pid}", "cgroup")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("0::/") and not line.startswith("0::/.."):
            return f"{mount.rstrip('/')}/{line[4:]}".rstrip("/")
    return None
