"""A cgroup of the environment's own in each hierarchy of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from nestbox.kernel import constants as k
from nestbox.kernel.syscalls import mount
from tests.root.nesting.description import SOMEBODY, Cgroup, Environment

_MOUNTPOINT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy."""

    mountpoint: Path
    version: int
    options: str  # what mount(2) is given to mount it again


@dataclass
class Place:
    """The cgroups of one environment: made and removed by who stays outside of them."""

    name: str
    hierarchies: list[Hierarchy] = field(default_factory=list)

    def make(self, described: Environment) -> None:
        """Make a cgroup in each hierarchy."""
        self.hierarchies = mounted()
        for one in self.hierarchies:
            directory = one.mountpoint / self.name
            if one.version == 2:
                _enable_all(one.mountpoint)
            directory.mkdir()
            if "cpuset" in one.options.split(","):
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (directory / name).write_text((one.mountpoint / name).read_text())
            if described.cgroup is Cgroup.DELEGATED:
                _give(directory)

    def enter(self) -> None:
        """Move this process into them."""
        for one in self.hierarchies:
            (one.mountpoint / self.name / "cgroup.procs").write_text("0")

    def mount(self, described: Environment, root: Path) -> None:
        """Mount them below a root whose /sys is mounted; our cgroup namespace begins at them."""
        if described.cgroup is Cgroup.NONE:
            return
        target = root / _MOUNTPOINT.relative_to("/")
        flags = k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC
        alone = len(self.hierarchies) == 1 and self.hierarchies[0].version == 2
        if not alone:
            mount("tmpfs", str(target), "tmpfs", flags, "mode=755")
        for one in self.hierarchies:
            at = target if alone else target / one.mountpoint.name
            at.mkdir(exist_ok=True)
            kind = "cgroup2" if one.version == 2 else "cgroup"
            mount(kind, str(at), kind, flags, one.options or None)
            if described.cgroup is Cgroup.READ_ONLY:
                mount(None, str(at), None, flags | k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY)
        if not alone:
            mount(None, str(target), None, flags | k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY)

    def remove(self) -> None:
        """Remove them with all that was made in them; nothing is in them any more."""
        for one in self.hierarchies:
            for directory, _, _ in os.walk(one.mountpoint / self.name, topdown=False):
                os.rmdir(directory)


def mounted() -> list[Hierarchy]:
    """Return the hierarchies that are mounted below /sys/fs/cgroup."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, kind, options = line.split()[:4]
        if kind not in {"cgroup", "cgroup2"} or not Path(target).is_relative_to(_MOUNTPOINT):
            continue
        own = set(options.split(",")) - {"rw", "relatime", "nosuid", "nodev", "noexec"}
        version = 2 if kind == "cgroup2" else 1
        again = "" if version == 2 else ",".join(sorted(own))
        if Path(target).name != "net_cls,net_prio":
            found.append(Hierarchy(mountpoint=Path(target), version=version, options=again))
    return found


def version() -> str:
    """Return "v2" where it has the controllers, else "v1"."""
    return "v1" if any(one.version == 1 for one in mounted()) else "v2"


def _enable_all(mountpoint: Path) -> None:
    """Enable every controller for the children of the hierarchy's root."""
    for controller in (mountpoint / "cgroup.controllers").read_text().split():
        try:
            (mountpoint / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue  # one that cannot be is one that the environment does not have


def _give(directory: Path) -> None:
    """Give a cgroup to the ordinary user, as the kernel's documentation says."""
    names = ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks")
    for name in names:
        if (directory / name).exists():
            os.chown(directory / name, SOMEBODY, SOMEBODY)
