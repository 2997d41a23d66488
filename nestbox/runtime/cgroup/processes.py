"""The processes of a container by its cgroup: listed, and sent a signal all at once."""

from __future__ import annotations

import errno
import os

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED, main_directory
from nestbox.runtime.cgroup.files import read_at, write
from nestbox.runtime.cgroup.freezer import freeze, is_frozen, thaw, thaw_below
from nestbox.runtime.cgroup.walk import visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.cgroup.files import Located

_SIGKILL = 9
_ROUNDS = 100
_GONE = frozenset({errno.ENOENT, errno.ENODEV})


def processes(location: Located, *, recursive: bool = True) -> tuple[int, ...]:
    """Return the pids in the container's cgroup and, unless told otherwise, in those below it.

    A process of a pid namespace that we do not see into has no pid here and is left out. Without
    the cgroup there are none. Raises LaunchError.
    """
    main = main_directory(location.version, location.directories)
    if main is None:
        return ()
    found: list[int] = []
    try:
        if recursive:
            visit(main, enter=lambda fd: found.extend(_in_one(fd)))
        else:
            found += _in_top(main)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise LaunchError(
            f"cannot list the processes of {main}",
            cause=reason(error),
            remedy="see whether the cgroup file system is mounted as it was for the container",
        ) from error
    return tuple(dict.fromkeys(found))


def _in_top(main: str) -> list[int]:
    fd = os.open(main, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _in_one(fd)
    finally:
        os.close(fd)


def _in_one(directory: int) -> list[int]:
    try:
        text = read_at(directory, "cgroup.procs")
    except OSError as error:
        if error.errno in _GONE:
            return []
        if error.errno != errno.EOPNOTSUPP:
            raise
        text = read_at(directory, "cgroup.threads")  # a threaded cgroup has threads only
    return [pid for pid in map(int, text.split()) if pid]


def kill_all(location: Located, signal: int) -> None:
    """Send a signal to all processes of the container; SIGKILL reaches those being forked too.

    Raises:
        LaunchError: they cannot be listed.
    """
    if signal == _SIGKILL and _kill_at_once(location) and location.version == 2:
        return
    if is_frozen(location):
        _signal_each(location, signal)
        # A frozen process of version 1 dies when it is thawed.
        if signal == _SIGKILL:
            thaw_below(location)
        return
    frozen = _try_to_freeze(location)
    try:
        _signal_each(location, signal, repeat=not frozen and signal == _SIGKILL)
    finally:
        if frozen:
            thaw(location)
    if signal == _SIGKILL:
        thaw_below(location)


def _kill_at_once(location: Located) -> bool:
    """Kill by cgroup.kill where there is one (version 2, Linux 5.14); return whether there is."""
    directory = location.directories.get(UNIFIED)
    if directory is None:
        return False
    try:
        write(directory, "cgroup.kill", "1")
    except OSError as error:
        # A threaded cgroup cannot be killed as a whole.
        if error.errno not in _GONE | {errno.EOPNOTSUPP, errno.EACCES, errno.EPERM}:
            raise _cannot_kill(f"the processes of {directory}", error) from error
        return False
    return True


def _try_to_freeze(location: Located) -> bool:
    try:
        freeze(location)
    except LaunchError:
        return False
    return True


def _signal_each(location: Located, signal: int, *, repeat: bool = False) -> None:
    seen: set[int] = set()
    refused: OSError | None = None
    for _ in range(_ROUNDS if repeat else 1):
        found = set(processes(location)) - seen
        for pid in found:
            try:
                os.kill(pid, signal)
            except ProcessLookupError:
                pass  # it ended by itself
            except OSError as error:
                refused = error
        seen |= found
        if not found:
            break
    if refused is not None:
        raise _cannot_kill("the processes of the container", refused) from refused


def _cannot_kill(what: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"cannot send a signal to {what}",
        cause=reason(error),
        remedy="act as the user who started the container, or as root",
    )
