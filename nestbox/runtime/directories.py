"""Directories of containers: one each, which appears whole and locked and goes whole.

A directory appears under its final name complete and locked, by rename(2), so that of two creates
of one name exactly one wins and nobody sees a half-made one. The lock (flock(2)) ends with its
owner, however that dies.

Nothing is synced to the disk: what a state describes does not outlive the kernel.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from nestbox.errors import StateError, reason

LOCK = "lock"
NEW = ".new-"
NOT_A_CONTAINER = "@"  # no id starts with it, as it is not in their character set
_NEW_MAXIMUM_AGE_SECONDS = 60.0


def open_root(root: str) -> None:
    """Make sure that the state directory exists, is ours and is closed to others.

    Raises:
        StateError: it cannot be made, or somebody else could have prepared it.
    """
    try:
        info = os.lstat(root)
    except FileNotFoundError:
        info = _make_root(root)
    except OSError as error:
        raise unusable(root, error) from error
    _check_ours(root, info)


def check_root(root: str) -> None:
    """Refuse a state directory that somebody else could have prepared; none at all is no matter.

    What is kept in it says which processes are killed and which cgroups are removed.

    Raises:
        StateError: it is not ours alone, or cannot be looked at.
    """
    try:
        _check_ours(root, os.lstat(root))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise unusable(root, error) from error


def _check_ours(root: str, info: os.stat_result) -> None:
    if not stat.S_ISDIR(info.st_mode):
        raise StateError(
            f"cannot use the state directory {root!r}",
            cause="it is not a directory",
            remedy="remove it, or choose another one with --root",
        )
    if info.st_uid != os.geteuid():
        raise StateError(
            f"cannot use the state directory {root!r}",
            cause=f"permission denied: it belongs to another user, {info.st_uid}",
            remedy="act as that user, or choose another one with --root",
        )
    if info.st_mode & 0o022:
        raise StateError(
            f"cannot use the state directory {root!r}",
            cause="others may write to it",
            remedy=f"see what they have put there, then run: chmod 0700 {root}",
        )


def _make_root(root: str) -> os.stat_result:
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        return os.lstat(root)
    except OSError as error:
        raise unusable(root, error) from error


def unusable(root: str, error: OSError) -> StateError:
    """Return the error for a state directory that cannot be used."""
    remedy = "choose a directory that can be written with --root or NESTBOX_ROOT"
    if error.errno == errno.EROFS:
        remedy += "; in a container that is read-only, start that with --tmpfs /run"
    return StateError(
        f"cannot use the state directory {root!r}", cause=reason(error), remedy=remedy
    )


def already_exists(container: str) -> StateError:
    """Return the error for an id that is used. Callers match the words of its cause."""
    return StateError(
        f'cannot create the container "{container}"',
        cause="container with given ID already exists",
        remedy="choose another name, or remove that container",
    )


def make_claimed(root: str, container: str, files: dict[str, bytes]) -> int:
    """Make the directory of a new container with these files in it; return its lock, held.

    Raises:
        StateError: there is a container of this id already, or the files cannot be written.
    """
    preparing = os.path.join(root, f"{NEW}{container}-{os.urandom(6).hex()}")
    lock = -1
    try:
        os.mkdir(preparing, 0o700)
        lock = os.open(
            os.path.join(preparing, LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name, data in files.items():
            write_atomically(os.path.join(preparing, name), data)
        os.rename(preparing, os.path.join(root, container))
    except (OSError, StateError) as error:
        if lock >= 0:
            os.close(lock)
        try:
            remove_flat(preparing)
        except OSError:
            pass
        if isinstance(error, StateError):
            raise
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise already_exists(container) from error
        raise unusable(root, error) from error
    return lock


def write_atomically(path: str, data: bytes) -> None:
    """Replace a file as a whole. Raises StateError, with the old content in place."""
    temporary = f"{path}.{os.urandom(4).hex()}"
    try:
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise StateError(
            f"cannot write {path!r}",
            cause=reason(error),
            remedy="free some space there, or choose another directory with --root",
        ) from error


def take_lock(directory: str) -> int | None:
    """Return the lock of a directory that nobody holds, or None."""
    try:
        lock = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    if os.fstat(lock).st_nlink == 0:
        # Its directory was removed meanwhile, and the name may be another container's by now.
        os.close(lock)
        return None
    return lock


def remove_empty(directory: str) -> None:
    """Remove what a kill left of a directory whose last file was gone; any other one stays."""
    try:
        os.rmdir(directory)
    except OSError:
        pass


def remove_unfinished(directory: str) -> None:
    """Remove a directory whose maker died before it was complete."""
    try:
        if time.time() - os.lstat(directory).st_mtime > _NEW_MAXIMUM_AGE_SECONDS:
            remove_flat(directory)
    except OSError:
        pass


def remove_flat(directory: str) -> None:
    """Remove a directory of ours and the files in it; there are no directories in it.

    The lock goes last, since a directory without one would be nobody's to remove.
    """
    for name in sorted(os.listdir(directory), key=LOCK.__eq__):
        os.unlink(os.path.join(directory, name))
    os.rmdir(directory)
