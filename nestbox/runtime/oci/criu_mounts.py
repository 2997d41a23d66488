"""Mounts that come from outside the container: CRIU keeps their names, and is told sources again.

At a checkpoint each gets a name, which is its place in the container; at a restore the same names
are given with what is to be mounted. Everything else CRIU makes by itself.

Source: criu(8), "--external mnt"; criu.org, "External bind mounts".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from nestbox.outer.derived import is_below
from nestbox.policy.config.places import NOTIFY_DIRECTORY, inside, is_bind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestbox.kernel.procfs import MountLine
    from nestbox.oci.config import Config
    from nestbox.policy.launch_spec import LaunchSpec

Pair = tuple[str, str]

EMPTY: Final = "nestbox-empty"  # the name of what covers masked directories
_NULL: Final = "/dev/null"  # the name of what covers masked files, as with runc
_COVERS: Final = {"/null": _NULL, "/empty": EMPTY}  # by what the executor binds over them
# File systems without a device, which CRIU makes anew; one of them whose root is not mounted in
# the container comes from outside all the same.
_MADE: Final = frozenset(
    {"cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs", "binfmt_misc"}
)
_MOST_LINKS: Final = 40  # as the kernel, path_resolution(7)


def dump_pairs(config: Config, mounts: Iterable[MountLine], root: str) -> tuple[Pair, ...]:
    """Return the external mounts of a running container, each with its name.

    Args:
        config: the container's configuration.
        mounts: what is mounted in it, with targets as it sees them.
        root: its root directory as we see it, for the links in it.
    """
    lines = tuple(mounts)
    bound = {resolved(root, mount.destination) for mount in config.mounts if is_bind(mount)}
    masked = {resolved(root, path) for path in config.linux.masked_paths}
    whole = {mount.device for mount in lines if mount.root == "/" and mount.fstype in _MADE}
    pairs: dict[str, str] = {}
    for mount in lines:
        if mount.target == "/":
            continue
        if mount.target in masked and mount.root in _COVERS:
            pairs[mount.target] = _COVERS[mount.root]
        elif mount.target in bound or not (mount.device in whole or _is_own(mount, config)):
            pairs[mount.target] = mount.target
    return tuple(pairs.items())


def _is_own(mount: MountLine, config: Config) -> bool:
    """Whether it shows the container's cgroup namespace, whose root has another name for us."""
    return mount.fstype in {"cgroup", "cgroup2"} and config.namespace("cgroup") is not None


def restore_pairs(
    launch: LaunchSpec, outer: Iterable[MountLine], root: str, empty: str
) -> tuple[Pair, ...]:
    """Return what is to be mounted for each name of a checkpoint.

    Args:
        launch: the container as it would be launched.
        outer: what is mounted outside, of which a recursive bind takes along what is below it.
        root: the container's root directory, for the links in it.
        empty: a directory in which there is and can be nothing.
    """
    lines = tuple(outer)
    # A socket for notifications that nobody waits for now is as good as none.
    pairs = {_NULL: _NULL, EMPTY: empty, NOTIFY_DIRECTORY: empty}
    for device in launch.devices:
        if device.source is not None:
            pairs[resolved(root, device.target)] = device.source
    for mount in launch.mounts:
        if mount.fstype != "bind":
            continue
        target = resolved(root, mount.target)
        source = os.path.realpath(mount.source)
        pairs[target] = source
        if mount.recursive:
            pairs |= _below(target, source, lines)
    return tuple(pairs.items())


def _below(target: str, source: str, lines: tuple[MountLine, ...]) -> dict[str, str]:
    """Return the mounts below a source, each at its place below the target."""
    start = len(source.rstrip("/"))
    return {
        os.path.normpath(target + line.target[start:]): line.target
        for line in lines
        if line.target != source and is_below(line.target, source)
    }


def resolved(root: str, path: str) -> str:
    """Return a path of a container without links, none of which leads out of ``root``.

    What is not there is taken as it is written. The result is a name, not for access: in a
    container that runs, links can change at any time.
    """
    parts = [part for part in reversed(path.split("/")) if part not in {"", "."}]
    found: list[str] = []
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            del found[-1:]
            continue
        link = _read_link(os.path.join(root, *found, part))
        if link is None or links == _MOST_LINKS:
            found.append(part)
            continue
        links += 1
        if link.startswith("/"):
            found.clear()
        parts += [one for one in reversed(link.split("/")) if one not in {"", "."}]
    return inside("/".join(found))


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
