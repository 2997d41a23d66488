"""The state directory: one directory a container, locked by the process that owns it.

A directory appears under its final name complete and locked, by rename(2), so that of two creates
of one name exactly one wins and nobody sees a half-made one. The lock (flock(2)) ends with its
owner, however that dies, and so tells the living from what is left to sweep.

Nothing is synced to the disk: what a state describes does not outlive the kernel. The process is
kept as the text of a symbolic link, which appears as a whole and takes no block of the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

import msgspec

from nestbox.errors import StateError, reason
from nestbox.runtime import lossless

_STATE = "state.json"
_PROCESS = "process"
_LOCK = "lock"
_NEW = ".new-"
NOT_A_CONTAINER = "@"  # no id starts with it, as it is not in their character set
_NEW_MAXIMUM_AGE_SECONDS = 60.0
_MAXIMUM_STATE_BYTES = 1 << 20


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """What exists because of one container, written before it exists.

    ``cgroups`` are directories, ``upper`` the directory of its overlay's upper layers.
    """

    id: str
    created: str  # RFC 3339, UTC
    boot_id: str
    pid_namespace: int  # inode; in another one the pid below means another process
    cgroups: tuple[str, ...] = ()
    upper: str | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process as our pid namespace shows it.

    ``start`` (clock ticks after boot) tells it from a later one with the same pid.
    """

    pid: int
    start: int


class Claim:
    """One container's directory, held: the lock ends with ``release`` or with this process."""

    def __init__(self, root: str, container: str, lock: int) -> None:
        self.root = root
        self.container = container
        self.directory = os.path.join(root, container)
        self._lock = lock

    def write_process(self, process: Process) -> None:
        """Add the container's first process to its state. Raises StateError."""
        try:
            os.symlink(f"{process.pid}:{process.start}", os.path.join(self.directory, _PROCESS))
        except OSError as error:
            raise _unusable(self.root, error) from error

    def let_go(self) -> None:
        """End the lock and leave everything in place."""
        os.close(self._lock)

    def release(self) -> None:
        """Remove the directory and end the lock."""
        try:
            _remove_flat(self.directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Emptied, its name is free: it may be the next container's directory already.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        finally:
            os.close(self._lock)


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
        raise _unusable(root, error) from error
    if os.path.islink(root) or not os.path.isdir(root):
        raise StateError(
            f"cannot use the state directory {root!r}",
            cause="it is not a directory",
            remedy="remove it, or choose another one with --root",
        )
    if info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise StateError(
            f"cannot use the state directory {root!r}",
            cause="it belongs to another user or others may write to it",
            remedy=f"run: chown {os.geteuid()} {root} && chmod 0700 {root}",
        )


def _make_root(root: str) -> os.stat_result:
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        return os.lstat(root)
    except OSError as error:
        raise _unusable(root, error) from error


def _unusable(root: str, error: OSError) -> StateError:
    return StateError(
        f"cannot use the state directory {root!r}",
        cause=reason(error),
        remedy="choose a directory that can be written with --root or NESTBOX_ROOT",
    )


def claim(root: str, state: ContainerState) -> Claim:
    """Return the locked directory of a new container, with its first state in it.

    Raises:
        StateError: there is a container of this id already, or the state cannot be written.
    """
    preparing = os.path.join(root, f"{_NEW}{state.id}-{os.urandom(6).hex()}")
    lock = -1
    try:
        os.mkdir(preparing, 0o700)
        lock = os.open(
            os.path.join(preparing, _LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_atomically(os.path.join(preparing, _STATE), lossless.encode(state))
        os.rename(preparing, os.path.join(root, state.id))
    except (OSError, StateError) as error:
        if lock >= 0:
            os.close(lock)
        with contextlib.suppress(OSError):
            _remove_flat(preparing)
        if isinstance(error, StateError):
            raise
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise StateError(
                f'cannot create the container "{state.id}"',
                cause="container with given ID already exists",
                remedy="choose another --name, or remove that container",
            ) from error
        raise _unusable(root, error) from error
    return Claim(root, state.id, lock)


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
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise StateError(
            f"cannot write {path!r}",
            cause=reason(error),
            remedy="free some space there, or choose another directory with --root",
        ) from error


def abandoned(root: str) -> Iterator[tuple[Claim, ContainerState | None]]:
    """Yield what no living process owns, each held by us now; its state is None when unreadable."""
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(root, error) from error
    for name in names:
        if name.startswith(_NEW):
            _remove_unfinished(os.path.join(root, name))
            continue
        lock = _take_lock(os.path.join(root, name))
        if lock is not None:
            yield Claim(root, name, lock), read_state(root, name)
        elif not name.startswith(NOT_A_CONTAINER):
            _remove_empty(os.path.join(root, name))


def read_state(root: str, container: str) -> ContainerState | None:
    """Return the state of a container, or None when there is none that can be read."""
    try:
        with open(os.path.join(root, container, _STATE), "rb") as file:
            return lossless.decode(file.read(_MAXIMUM_STATE_BYTES), ContainerState)
    except (OSError, msgspec.MsgspecError):
        return None


def read_process(root: str, container: str) -> Process | None:
    """Return the first process of a container, or None when it has none that can be read."""
    try:
        pid, _, start = os.readlink(os.path.join(root, container, _PROCESS)).partition(":")
        return Process(pid=int(pid), start=int(start))
    except (OSError, ValueError):
        return None


def _take_lock(directory: str) -> int | None:
    """Return the lock of a directory that nobody holds, or None."""
    try:
        lock = os.open(os.path.join(directory, _LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
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


def _remove_empty(directory: str) -> None:
    """Remove what a kill left of a directory whose last file was gone; any other one stays."""
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def _remove_unfinished(directory: str) -> None:
    """Remove a directory whose maker died before it was complete."""
    with contextlib.suppress(OSError):
        if time.time() - os.lstat(directory).st_mtime > _NEW_MAXIMUM_AGE_SECONDS:
            _remove_flat(directory)


def _remove_flat(directory: str) -> None:
    """Remove a directory of ours and the files in it; there are no directories in it.

    The lock goes last, since a directory without one would be nobody's to remove.
    """
    for name in sorted(os.listdir(directory), key=_LOCK.__eq__):
        os.unlink(os.path.join(directory, name))
    os.rmdir(directory)
