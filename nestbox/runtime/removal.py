"""Removing a tree that a container has written, whatever it put there."""

from __future__ import annotations

import errno
import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(directory: str) -> None:
    """Remove a directory and all below it; one that is gone is no failure. Raises OSError.

    Every name is taken relative to an open directory and no link is followed. Directories are
    moved up and then emptied, so that a tree of any depth needs neither recursion nor more than
    two descriptors. Nothing is mounted below: that was in the mount namespace of the container.
    """
    try:
        top = os.open(directory, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        while names := os.listdir(top):
            for name in names:
                _remove_entry(top, name)
    finally:
        os.close(top)
    os.rmdir(directory)


def _remove_entry(top: int, name: str) -> None:
    if _unlink(top, name):
        return
    inner = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for child in os.listdir(inner):
            if not _unlink(inner, child):
                os.rename(child, os.urandom(16).hex(), src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


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
