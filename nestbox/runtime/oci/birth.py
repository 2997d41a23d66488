"""The executor's process, born in the cgroups of its container where the kernel lets it.

To be moved into a version 1 cgroup by another process costs milliseconds of waiting; a process that
moves itself does not wait. On version 2 it is clone3(2) that places it.
"""

from __future__ import annotations

import os

from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.tree import open_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.kernel.spawn import Spawned
    from nestbox.runtime.cgroup.files import Located


def spawn_in_cgroups(
    location: Located, start: Callable[[int, tuple[int, ...]], Spawned]
) -> tuple[Spawned, frozenset[str]]:
    """Return the child, and the keys of the version 1 cgroups that it is in already.

    ``start`` is `spawn` with all given but a directory of version 2 beside version 1, -1 for none,
    and the files "tasks".

    Raises:
        OSError: the kernel refused the child.
    """
    files = open_tasks(location)
    unified = files.pop(UNIFIED, -1)
    tasks = tuple(files.values())
    try:
        try:
            child = start(unified, tasks)
        except OSError:
            if unified < 0:
                raise
            # Perhaps for that cgroup, which the container may do without.
            os.close(unified)
            unified = -1
            child = start(-1, tasks)
    finally:
        for fd in (*tasks, unified):
            if fd >= 0:
                os.close(fd)
    entered = {key for key, is_in in zip(files, child.entered, strict=True) if is_in}
    return child, frozenset(entered | {UNIFIED} if unified >= 0 else entered)
