"""The root directory that CRIU restores a container into.

CRIU wants a mount with nothing mounted over what is around it, and mount points for all that it
mounts. The mount is made in a mount namespace that only we and CRIU see: it ends with us, however.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from nestbox.errors import LaunchError, reason
from nestbox.kernel.constants import (
    CLONE_NEWNS,
    MNT_DETACH,
    MS_BIND,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SLAVE,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
)
from nestbox.kernel.syscalls import mount, openat2, setns, umount2, unshare
from nestbox.outer.derived import is_below

if TYPE_CHECKING:
    from nestbox.policy.launch_spec import MountSpec

DIRECTORY: Final = "criu-root"
_RESOLVE: Final = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_DIRECTORY_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


@contextmanager
def private_mounts() -> Iterator[None]:
    """Let this thread make mounts that nobody else sees, but who is started inside the block.

    Raises:
        LaunchError: the kernel refuses a mount namespace.
    """
    outer = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _enter()
        try:
            yield
        finally:
            setns(outer, CLONE_NEWNS)
            os.fchdir(here)
    finally:
        os.close(here)
        os.close(outer)


def _enter() -> None:
    try:
        unshare(CLONE_NEWNS)
        mount(None, "/", None, MS_REC | MS_SLAVE)
    except OSError as error:
        raise LaunchError(
            "cannot make a mount namespace for CRIU",
            cause=reason(error),
            remedy="restore as root with CAP_SYS_ADMIN",
        ) from error


class Place:
    """Where CRIU finds things: the container's root, and a directory that is and stays empty."""

    def __init__(self, directory: str) -> None:
        self.root = os.path.join(directory, "root")
        self.empty = os.path.join(directory, "empty")


def mount_root(container: str, root: str, mounts: tuple[MountSpec, ...]) -> Place:
    """Mount a root directory below a container's state directory; return where.

    Args:
        container: the state directory, which keeps an empty directory of ours.
        root: the container's root directory.
        mounts: what will be mounted in it; where a mount point is missing it is made.

    Raises:
        LaunchError: it cannot be mounted, or a mount point cannot be made.
    """
    directory = os.path.join(container, DIRECTORY)
    place = Place(directory)
    try:
        os.mkdir(directory, 0o700)
        mount("nestbox", directory, "tmpfs", 0, "mode=0755")
        os.mkdir(place.root)
        os.mkdir(place.empty, 0o555)
        mount(None, directory, None, MS_REMOUNT | MS_RDONLY)
        mount(root, place.root, None, MS_BIND | MS_REC)
    except OSError as error:
        raise LaunchError(
            f"cannot mount {root!r} for CRIU", cause=reason(error), remedy="run `nestbox doctor`"
        ) from error
    fd = os.open(place.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _make_mount_points(fd, mounts)
    finally:
        os.close(fd)
    return place


def remove_root(container: str) -> None:
    """Remove the empty directory; nothing when it is gone. Raises OSError."""
    try:
        os.rmdir(os.path.join(container, DIRECTORY))
    except FileNotFoundError:
        pass


def _make_mount_points(root: int, mounts: tuple[MountSpec, ...]) -> None:
    """Make what is missing on the root and in binds; new file systems get theirs from CRIU."""
    made: list[str] = []  # targets of new file systems
    bound: list[str] = []
    real = [one for one in mounts if one.fstype not in {"remount", "link"}]
    try:
        for number, one in enumerate(real):
            if not any(is_below(one.target, other) for other in made):
                _make_mount_point(root, one)
            if one.fstype != "bind":
                made.append(one.target)
            elif any(is_below(other.target, one.target) for other in real[number + 1 :]):
                _bind(root, one)
                bound.append(one.target)
    finally:
        for target in reversed(bound):
            _unbind(root, target)


def _make_mount_point(root: int, one: MountSpec) -> None:
    parts = one.target.strip("/").split("/")
    is_directory = one.fstype != "bind" or os.path.isdir(one.source)
    try:
        for depth in range(1, len(parts) + 1):
            last = depth == len(parts)
            _make(root, "/".join(parts[:depth]), directory=is_directory or not last)
    except OSError as error:
        raise _no_mount_point(one.target, error) from error


def _make(root: int, path: str, *, directory: bool) -> None:
    """Make one directory or file when it is not there. Raises OSError."""
    try:
        os.close(_open(root, path))
        return
    except FileNotFoundError:
        pass
    parent, _, name = path.rpartition("/")
    fd = _open(root, parent or ".")
    try:
        if directory:
            os.mkdir(name, _DIRECTORY_MODE, dir_fd=fd)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(name, flags, _FILE_MODE, dir_fd=fd))
    finally:
        os.close(fd)


def _open(root: int, path: str) -> int:
    return openat2(root, path, os.O_PATH | os.O_CLOEXEC, resolve=_RESOLVE)


def _bind(root: int, one: MountSpec) -> None:
    """Mount a bind for as long as mount points are made in it."""
    try:
        fd = _open(root, one.target.strip("/"))
        try:
            mount(one.source, f"/proc/self/fd/{fd}", None, MS_BIND | MS_REC)
        finally:
            os.close(fd)
    except OSError as error:
        raise _no_mount_point(one.target, error) from error


def _unbind(root: int, target: str) -> None:
    try:
        fd = _open(root, target.strip("/"))
        try:
            umount2(f"/proc/self/fd/{fd}", MNT_DETACH)
        finally:
            os.close(fd)
    except OSError as error:
        raise _no_mount_point(target, error) from error


def _no_mount_point(target: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"cannot make a mount point at {target!r} of the container to restore",
        cause=reason(error),
        remedy="make it in the root directory before the restore",
    )
