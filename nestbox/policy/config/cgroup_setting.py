"""One value for one file of a cgroup. Values only."""

from __future__ import annotations

import msgspec


class Setting(msgspec.Struct, frozen=True):
    """A value to write into a file of the cgroup of one controller.

    The settings of one controller depend on each other: one that the kernel refuses with EINVAL is
    written again after the others (memory and memory with swap, quota and period).
    """

    controller: str  # "memory"; on version 1 it tells the directory
    file: str
    value: str
    optional: bool = False  # a kernel without the file is no failure
    otherwise: tuple[str, str] | None = None  # the file and value to use when there is no such file
    exact: bool = False  # the kernel clamps what it is given, which is a failure
