"""The version 2 cgroup that a further process of a container is born in.

That is the container's own. A container that manages cgroups may have made it one that no process
can be in, because it hands on a controller (EBUSY), or may have moved its first process out of it
and removed it; then the process goes where the first one is. A cgroup named by ``--cgroup`` is
entered, or the process is refused.

Source: cgroups(7) "no internal processes"; clone(2) CLONE_INTO_CGROUP.
"""

from __future__ import annotations

import errno
import os

from nestbox.errors import LaunchError, StateError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.tree import DENIED, directory_of_process, may_do_without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.kernel.spawn import Spawned
    from nestbox.runtime.cgroup.files import Located

    # What `spawn_in_cgroups` returns: the child, and the version 1 cgroups that it is in.
    Born = tuple[Spawned, frozenset[str]]

_REMOVED = frozenset({errno.ENOENT, errno.ENODEV})
_TAKES_NONE = frozenset({errno.EBUSY})
# What the kernel says of the cgroup, and not of the process.
_REFUSALS = _REMOVED | _TAKES_NONE | DENIED | {errno.EOPNOTSUPP}


def spawn_in_unified(
    location: Located, first: int, *, named: bool, start: Callable[[int], Born]
) -> Born:
    """Return the child that ``start`` makes, which is given a descriptor of the cgroup, or -1.

    ``first`` is the container's first process; ``named`` is whether the user chose the cgroup.

    Raises:
        StateError: there is no such cgroup.
        LaunchError: the kernel does not let the child into it.
        OSError: the kernel refused the child for another reason.
    """
    own = location.directories.get(UNIFIED) if location.version == 2 else None
    if own is None:
        return start(-1)
    try:
        return _spawn_in(own, start)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        if not named:
            if error.errno in _REMOVED | _TAKES_NONE:
                elsewhere = directory_of_process(location, first)
                if elsewhere is not None and elsewhere != own:
                    return _spawn_in(elsewhere, start)
            if may_do_without(location, error):
                return start(-1)
        raise _refused(own, error) from error


def _spawn_in(directory: str, start: Callable[[int], Born]) -> Born:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return start(fd)
    finally:
        os.close(fd)


def _refused(directory: str, error: OSError) -> StateError | LaunchError:
    if error.errno in _REMOVED:
        return StateError(
            f"cannot enter the cgroup {directory}",
            cause=reason(error),
            remedy="name one that exists with --cgroup",
        )
    # "adding pid" and "to cgroups": runc's words, which callers match. There is no number to
    # tell: the process would have been born there.
    return LaunchError(
        "unable to apply cgroup configuration: error adding pid of a new process to cgroups",
        cause=f"{directory}: {reason(error)}",
        remedy="name a cgroup that takes processes with --cgroup, as one below it"
        if error.errno in _TAKES_NONE
        else "run `nestbox doctor`: it says which controllers can be used here",
    )
