"""Where the cgroups of a container are: one directory in each hierarchy. Pure.

``linux.cgroupsPath`` is absolute (from the root of each hierarchy), relative, or left out, which
means the container's id. A relative one is below our own cgroup on version 1; on version 2 it is
beside our own, whose processes would forbid controllers below it. Where our own is all that we may
write to it is below, too, and there our own processes may have to go to a leaf (self-nesting). For
systemd it is ``slice:prefix:name``.

Source: runtime-spec config-linux.md "Cgroups Path"; cgroups(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import ConfigError, UsageError
from nestbox.outer.derived import is_below
from nestbox.outer.facts import CgroupMode
from nestbox.policy.config.cgroup_keys import UNIFIED, main_directory

if TYPE_CHECKING:
    from nestbox.outer.facts import Cgroup, CgroupHierarchy

CGROUPFS: Final = "cgroupfs"
SYSTEMD: Final = "systemd"
DISABLED: Final = "disabled"
MANAGERS: Final = (CGROUPFS, SYSTEMD, DISABLED)


class CgroupLocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cgroups of one container; kept as JSON in its state.

    ``directories`` and ``mounts`` have the same keys: controllers and named hierarchies
    (``name=systemd``) of version 1, and "" for version 2. A hybrid machine is version 1, with the
    empty key for its version 2 hierarchy, whose controllers are not used.
    """

    version: int  # 1 or 2; 0 when there are no cgroups
    manager: str = CGROUPFS
    directories: dict[str, str] = {}
    mounts: dict[str, str] = {}  # where the hierarchy of each directory is mounted
    made: tuple[str, ...] = ()  # of the directories above, those that are there because of us
    named: bool = False  # the configuration names the path, so it is strict
    rootless: bool = False
    unit: str | None = None  # of systemd: the scope or slice of the container
    slice: str | None = None  # of systemd: what the unit is in
    nest: str = ""  # our own cgroup above it, whose processes may go to a leaf of it

    @property
    def main(self) -> str | None:
        """The directory that shows the container's processes; None when there is none."""
        return main_directory(self.version, self.directories)


class LocationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What decides where a container's cgroups are, beside the facts.

    ``default_parent`` takes containers whose configuration names no path: a directory as in
    cgroupsPath, or a slice. ``manager_cgroup`` is the cgroup of a user's systemd (its property
    ControlGroup), below which its slices are.
    """

    container: str
    path: str | None = None  # linux.cgroupsPath
    manager: str = CGROUPFS
    default_parent: str | None = None
    rootless: bool = False
    manager_cgroup: str = ""
    may_nest: bool = False  # the processes of our own cgroup may go to a leaf of it


def locate(request: LocationRequest, facts: Cgroup) -> CgroupLocation:
    """Return where the container's cgroups are or will be.

    Raises:
        ConfigError: the path is malformed, or the root of the hierarchies.
        UsageError: the manager is not known, or cannot be used here.
    """
    if request.manager not in MANAGERS:
        raise UsageError(
            f"cannot use the cgroup manager {request.manager!r}",
            cause="it is not known",
            remedy=f"use one of {', '.join(MANAGERS)}",
        )
    if request.manager == DISABLED or facts.mode is CgroupMode.NONE:
        return CgroupLocation(version=0, manager=DISABLED, rootless=request.rootless)
    if request.manager == SYSTEMD:
        return _locate_systemd(request, facts)
    return _locate_directories(request, facts)


def _locate_directories(request: LocationRequest, facts: Cgroup) -> CgroupLocation:
    parent = request.default_parent
    default = f"{parent}/{request.container}" if parent else request.container
    path = clean_path(request.path or "") or clean_path(default)
    if path in {"", "/"}:
        raise _unusable(request.path, "it is the root of the hierarchies")
    version = version_of(facts)
    directories = {
        key: _directory(hierarchy, path, version) for key, hierarchy in _hierarchies(facts).items()
    }
    return CgroupLocation(
        version=version,
        manager=CGROUPFS,
        directories=directories,
        nest=_nested(directories, facts) if version == 2 and request.may_nest else "",
        mounts={key: hierarchy.mountpoint for key, hierarchy in _hierarchies(facts).items()},
        named=bool(request.path),
        rootless=request.rootless,
    )


def _locate_systemd(request: LocationRequest, facts: Cgroup) -> CgroupLocation:
    version = version_of(facts)
    if request.rootless and version == 1:
        raise UsageError(
            "cannot use systemd's cgroups without root",
            cause="cgroup v1 cannot be delegated to users safely",
            remedy="use --cgroup-manager cgroupfs, or boot with cgroup v2",
        )
    from nestbox.policy.config.cgroup_slices import SystemdName, expand_slice, systemd_name

    default = request.default_parent or ("user.slice" if request.rootless else "system.slice")
    name = systemd_name(request.path, SystemdName(default, "nestbox", request.container))
    inner = f"{expand_slice(name.slice).rstrip('/')}/{name.unit}"
    if version == 2:
        inner = request.manager_cgroup.rstrip("/") + inner
    return CgroupLocation(
        version=version,
        manager=SYSTEMD,
        directories={
            key: _below(hierarchy.mountpoint, inner)
            for key, hierarchy in _hierarchies(facts).items()
        },
        mounts={key: hierarchy.mountpoint for key, hierarchy in _hierarchies(facts).items()},
        named=bool(request.path),
        rootless=request.rootless,
        unit=name.unit,
        slice=name.slice,
    )


def version_of(facts: Cgroup) -> int:
    """Return which version the controllers of containers are: 2 only where no other is mounted."""
    return 2 if facts.mode is CgroupMode.V2 else 1


def _hierarchies(facts: Cgroup) -> dict[str, CgroupHierarchy]:
    found: dict[str, CgroupHierarchy] = {}
    for hierarchy in facts.hierarchies:
        keys = hierarchy.controllers if hierarchy.version == 1 else (UNIFIED,)
        for key in keys:
            found.setdefault(key, hierarchy)
    return found


def _directory(hierarchy: CgroupHierarchy, path: str, version: int) -> str:
    if path.startswith("/"):
        return _below(hierarchy.mountpoint, path)
    # Where our own cgroup is out of sight, what is mounted is all that can be used.
    own = hierarchy.directory or hierarchy.mountpoint
    if version == 2 and own != hierarchy.mountpoint and not _is_all_we_have(hierarchy):
        own = own.rpartition("/")[0]
    return _below(own, path)


def _is_all_we_have(hierarchy: CgroupHierarchy) -> bool:
    """Return whether we may write to our own cgroup and not to the one above it."""
    return hierarchy.writable and bool(hierarchy.above) and not hierarchy.above[0].writable


def _nested(directories: dict[str, str], facts: Cgroup) -> str:
    """Return our own cgroup if the container's is below it, else nothing."""
    own = _hierarchies(facts)[UNIFIED].directory
    return own if own is not None and is_below(directories[UNIFIED], own) else ""


def _below(directory: str, path: str) -> str:
    return f"{directory.rstrip('/')}/{path.lstrip('/')}"


def clean_path(path: str) -> str:
    """Return a path without ``.``, ``..`` and doubled slashes; ``..`` never leads above its start.

    Raises:
        ConfigError: it has a character that no cgroup can have in its name.
    """
    if "\0" in path or "\n" in path:
        raise _unusable(path, "it has a NUL or a newline in it")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in {"", "."}:
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def _unusable(path: str | None, cause: str) -> ConfigError:
    return ConfigError(
        f"cannot use the cgroup path {path!r}",
        cause=cause,
        remedy="give linux.cgroupsPath the path of a cgroup for this container alone",
    )
