"""Paths of a configuration: inside the container, inside the bundle, and what to look at. Pure."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Final

from nestbox.oci.mounts import Mount
from nestbox.outer.bundle_facts import BundleAsks, Place
from nestbox.outer.derived import is_below

if TYPE_CHECKING:
    from nestbox.oci.config import Config
    from nestbox.policy.config.options import LaunchOptions

_PASSWD: Final = "/etc/passwd"
NOTIFY_DIRECTORY: Final = "/run/notify"


def inside(path: str) -> str:
    """Return a path inside the container as absolute and clean; a ``..`` stops at its root."""
    # Two slashes at the beginning are left by normpath, as POSIX lets them mean another root.
    return os.path.normpath("/" + path.lstrip("/"))


def target_of(destination: str, root_directory: str) -> str:
    """Return where a mount goes; a path of the outer environment below the root means that place.

    Engines have long written such destinations, and runc takes them.
    """
    path = inside(destination)
    if root_directory not in {"/", path} and is_below(path, root_directory):
        return path[len(root_directory) :]
    return path


def source_in_root(source: str, root_directory: str) -> str | None:
    """Return the path inside the root of a bind source that lies below it, None for another.

    What is mounted there before is part of it, so that it cannot be looked at beforehand.
    """
    path = inside(source)
    if root_directory == "/" or not is_below(path, root_directory):
        return None
    return path[len(root_directory) :] or "/"


def outside(path: str, options: LaunchOptions) -> str:
    """Return a path of the outer environment; a relative one is meant from the bundle."""
    return os.path.join(options.bundle, path)


def is_bind(mount: Mount) -> bool:
    """Return whether a mount is a bind, whatever its type says beside the option."""
    return mount.type == "bind" or any(word in {"bind", "rbind"} for word in mount.options)


def notify_path(options: LaunchOptions) -> str | None:
    """Return where the container finds the socket for systemd's messages; None without one."""
    if options.notify_socket is None:
        return None
    return f"{NOTIFY_DIRECTORY}/{os.path.basename(options.notify_socket)}"


def mounts_of(config: Config, options: LaunchOptions) -> tuple[Mount, ...]:
    """Return the mounts of a configuration, and that of the notify socket after them."""
    if options.notify_socket is None:
        return config.mounts
    notify = Mount(
        destination=NOTIFY_DIRECTORY,
        type="bind",
        source=os.path.dirname(options.notify_socket),
        options=("bind", "nosuid", "noexec", "nodev", "ro"),
    )
    return (*config.mounts, notify)


def bundle_asks(config: Config, options: LaunchOptions, root_directory: str) -> BundleAsks:
    """Return what the decisions about a configuration need to know of the files that it names."""
    mounts = mounts_of(config, options)
    covered = any(
        is_below(_PASSWD, target_of(mount.destination, root_directory)) for mount in mounts
    )
    sources = (outside(mount.source, options) for mount in mounts if is_bind(mount))
    return BundleAsks(
        sources=tuple(one for one in sources if source_in_root(one, root_directory) is None),
        namespaces=tuple(one.path for one in config.linux.namespaces if one.path),
        devices=tuple(inside(device.path) for device in config.linux.devices),
        kernel_mounts=root_directory if options.no_pivot else None,
        passwd=_origin(mounts, options, root_directory, _PASSWD) if covered else None,
    )


def _origin(
    mounts: tuple[Mount, ...], options: LaunchOptions, root_directory: str, path: str
) -> Place | None:
    """Return where a path of the container comes from; None when from a new file system."""
    for mount in reversed(mounts):
        destination = target_of(mount.destination, root_directory)
        if not is_below(path, destination):
            continue
        if not is_bind(mount):
            return None
        rest = path[len(destination.rstrip("/")) :]
        source = outside(mount.source, options)
        if rest:
            return Place(directory=source, path=rest)
        directory, _, name = source.rstrip("/").rpartition("/")
        return Place(directory=directory or "/", path=name)
    return Place(directory=root_directory, path=path)
