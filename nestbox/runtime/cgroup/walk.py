"""Going through the cgroups below one, however deep.

A container that may make cgroups can nest them deeper than a path is long. So one descriptor goes
down by names and up by "..": the depth is no matter of the stack, of descriptors or of paths.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def visit(
    top: str,
    *,
    enter: Callable[[int], None] | None = None,
    leave: Callable[[int, str], None] | None = None,
) -> None:
    """Visit a cgroup and all below it; those that vanish meanwhile are passed over.

    Args:
        top: the directory of the cgroup.
        enter: called with a descriptor of each cgroup, before those below it.
        leave: called after all below a cgroup were visited, but not for ``top``: with a descriptor
            of the one above it and its name.

    Raises:
        OSError: one cannot be opened; FileNotFoundError is for ``top`` alone.
    """
    fd = os.open(top, _FLAGS)
    try:
        waiting = [_arrive(fd, enter)]
        trail: list[str] = []
        while waiting:
            if waiting[-1]:
                name = waiting[-1].pop()
                below = _open(fd, name)
                if below >= 0:
                    os.close(fd)
                    fd = below
                    trail.append(name)
                    waiting.append(_arrive(fd, enter))
                continue
            waiting.pop()
            if trail:
                above = os.open("..", _FLAGS, dir_fd=fd)
                os.close(fd)
                fd = above
                name = trail.pop()
                if leave is not None:
                    leave(fd, name)
    finally:
        os.close(fd)


def _arrive(fd: int, enter: Callable[[int], None] | None) -> list[str]:
    """Return the names of the cgroups directly below."""
    if enter is not None:
        enter(fd)
    try:
        with os.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _open(directory: int, name: str) -> int:
    try:
        return os.open(name, _FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return -1
