"""Removing a tree that a container has written, whatever it put there."""

from __future__ import annotations

import errno
import os

_OWNER_ALL = 0o700
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(directory: str) -> None:
    """Remove a directory and all below it; one that is gone is no failure. Raises OSError.

    Every name is taken relative to an open directory and no link is followed. Directories are
    moved up and then emptied, so that a tree of any depth needs neither recursion nor more than
    two descriptors. Nothing is mounted below: that was in the mount namespace of the container.
    """
    try:
        top = _open(directory)
    except FileNotFoundError:
        return
    try:
        while names := os.listdir(top):
            for name in names:
                _remove_entry(top, name)
    finally:
        os.close(top)
    os.rmdir(directory)


def _open(name: str, directory: int | None = None) -> int:
    """Return a descriptor of a directory; one that its mode closes to us is opened first.

    To an ordinary user, the kernel's own directory in an overlay's work directory is such a one.
    """
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=directory)
        if os.fstat(fd).st_mode & _OWNER_ALL == _OWNER_ALL or os.geteuid() == 0:
            return fd
        os.fchmod(fd, _OWNER_ALL)
        return fd
    except PermissionError:
        path = os.open(name, _DIRECTORY | os.O_PATH, dir_fd=directory)
        try:
            os.chmod(f"/proc/self/fd/{path}", _OWNER_ALL)
            return os.open(name, _DIRECTORY, dir_fd=directory)
        finally:
            os.close(path)


def _remove_entry(top: int, name: str) -> None:
    if _unlink(top, name):
        return
    inner = _open(name, top)
    try:
        for child in os.listdir(inner):
            if not _unlink(inner, child):
                _move(inner, child, top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _move(inner: int, child: str, top: int) -> None:
    """Move a directory up under a name that nothing has; that changes its "..", so it must be open.

    Source: rename(2), EACCES.
    """
    name = os.urandom(16).hex()
    try:
        os.rename(child, name, src_dir_fd=inner, dst_dir_fd=top)
    except PermissionError:
        os.close(_open(child, inner))
        os.rename(child, name, src_dir_fd=inner, dst_dir_fd=top)


def _unlink(directory: int, name: str) -> bool:
    """Remove a name; return False when it is a directory."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        # POSIX has EPERM for a directory, Linux EISDIR.
        if error.errno in {errno.EISDIR, errno.EPERM} and _is_directory(directory, name):
            return False
        raise
    return True


def _is_directory(directory: int, name: str) -> bool:
    try:
        os.close(os.open(name, _DIRECTORY | os.O_PATH, dir_fd=directory))
    except OSError:
        return False
    return True
