"""The cgroup hierarchies that are mounted on this machine, and what a container gets of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

TOP: Final = "/sys/fs/cgroup"


class Hierarchy(msgspec.Struct, frozen=True, kw_only=True):
    """One hierarchy, to be mounted in a container where it is mounted outside."""

    path: str  # TOP itself, or a directory in it
    controllers: str  # as mount(2) takes them: "cpu,cpuacct", "name=systemd"; none is version 2


def here() -> tuple[Hierarchy, ...]:
    """Return the hierarchies of this machine, in the order of their mounts."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    return parse(mountinfo, Path("/proc/self/cgroup").read_text())


def parse(mountinfo: str, membership: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies mounted at TOP or directly in it, by the text of two files.

    Args:
        mountinfo: that of /proc/self/mountinfo; of two mounts at one place the upper one counts.
        membership: that of /proc/self/cgroup, which names all controllers in use.

    Source: cgroups(7), proc_pid_mountinfo(5).
    """
    known = {name for line in membership.splitlines() for name in line.split(":")[1].split(",")}
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        path, (kind, _, options) = before.split()[4], after.split()
        if TOP not in (path, path.rpartition("/")[0]) or kind not in ("cgroup", "cgroup2"):
            continue
        names = [option for option in options.split(",") if kind == "cgroup" and option in known]
        found[path] = Hierarchy(path=path, controllers=",".join(names))
    return tuple(found.values())


def mounts(hierarchies: Sequence[Hierarchy]) -> list[str]:
    """Return what the floor is told to mount: a directory for version 1, then each hierarchy."""
    if not hierarchies:
        return []
    own_directory = [] if hierarchies[0].path == TOP else [f"t:{TOP}"]
    return own_directory + [
        f"1:{each.path}:{each.controllers}" if each.controllers else f"2:{each.path}"
        for each in hierarchies
    ]
