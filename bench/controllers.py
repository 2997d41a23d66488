"""Version 1 hierarchies for controllers that the machine has left unmounted.

In a hybrid cgroup setup crun refuses to run while the version 2 hierarchy still has controllers.
Mounting those as version 1 for the time of the run lets it take part.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_UNIFIED: Final = _CGROUPS / "unified"
_PATIENCE_SECONDS: Final = 1.0
_ATTEMPTS: Final = 3


@contextlib.contextmanager
def mounted() -> Iterator[tuple[str, ...]]:
    """Yield the controllers that were mounted as version 1, none if the machine needs nothing.

    Afterwards they belong to version 2 again, as before.
    """
    with contextlib.ExitStack() as stack:
        attached = []
        for name in _left_on_version_2():
            stack.callback(_detach, name)
            if _attach(name):
                attached.append(name)
        yield tuple(attached)


def hierarchy(table: str, controller: str) -> tuple[int, int]:
    """Return (hierarchy, number of cgroups) of a controller in the text of /proc/cgroups.

    Hierarchy 0 is that of version 2.

    Raises:
        KeyError: the kernel has no such controller.

    Source: cgroups(7), "/proc/cgroups".
    """
    for line in table.splitlines():
        fields = line.split()
        if fields[0] == controller:
            return int(fields[1]), int(fields[2])
    raise KeyError(controller)


def _left_on_version_2() -> tuple[str, ...]:
    """Return the controllers of a hybrid setup's version 2 hierarchy."""
    try:
        return tuple((_UNIFIED / "cgroup.controllers").read_text().split())
    except OSError:
        return ()


def _attach(controller: str) -> bool:
    """Return whether the controller is now mounted as version 1; one in use cannot be."""
    target = _CGROUPS / controller
    target.mkdir(exist_ok=True)
    command = ["mount", "-t", "cgroup", "-o", controller, "cgroup", str(target)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _detach(controller: str) -> None:
    """Unmount a hierarchy so that it really ends, and remove its mount point.

    The kernel keeps one that is unmounted while a removed cgroup in it is still being freed, so
    this waits until only the root is left, and tries again when it came too early.
    """
    target = _CGROUPS / controller
    for left in reversed(range(_ATTEMPTS if target.is_mount() else 0)):
        _wait(lambda: _current(controller)[1] <= 1)
        subprocess.run(["umount", str(target)], check=True)
        if _wait(lambda: _current(controller)[0] == 0) or left == 0:
            break
        _attach(controller)
    target.rmdir()


def _current(controller: str) -> tuple[int, int]:
    return hierarchy(Path("/proc/cgroups").read_text(), controller)


def _wait(holds: Callable[[], bool]) -> bool:
    """Return whether a condition held within some patience; the kernel tells nobody about it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
