"""The state directory: one directory a container, locked by the process that owns it.

A directory appears under its final name complete and locked, by rename(2), so that of two creates
of one name exactly one wins and nobody sees a half-made one. The lock (flock(2)) ends with its
owner, however that dies, and so tells the living from what is left to sweep.

Nothing is synced to the disk: what a state describes does not outlive the kernel. The process is
kept as the text of a symbolic link, which appears as a whole and takes no block of the disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import msgspec

from nestbox.runtime import lossless, processes
from nestbox.runtime.directories import (
    NEW,
    NOT_A_CONTAINER,
    make_claimed,
    remove_empty,
    remove_flat,
    remove_unfinished,
    take_lock,
    unusable,
)
from nestbox.runtime.processes import Process

_STATE = "state.json"
_PROCESS = "process"
_HELPER = "helper"
OF_AN_ENGINE = "container.json"  # the file of runtime.oci.container
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
    table: str = ""  # of nftables, with a name that no container had before


class Claim:
    """One container's directory, held: the lock ends with ``release`` or with this process."""

    def __init__(self, root: str, container: str, lock: int) -> None:
        self.root = root
        self.container = container
        self.directory = os.path.join(root, container)
        self._lock = lock

    def write_process(self, process: Process) -> None:
        """Add the container's first process to its state. Raises StateError."""
        self._write(_PROCESS, process)

    def write_helper(self, process: Process) -> None:
        """Add the program that connects its network to its state. Raises StateError."""
        self._write(_HELPER, process)

    def _write(self, name: str, process: Process) -> None:
        try:
            os.symlink(f"{process.pid}:{process.start}", os.path.join(self.directory, name))
        except OSError as error:
            raise unusable(self.root, error) from error

    def let_go(self) -> None:
        """End the lock and leave everything in place."""
        os.close(self._lock)

    def release(self) -> None:
        """Remove the directory and end the lock."""
        try:
            remove_flat(self.directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Emptied, its name is free: it may be the next container's directory already.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        finally:
            os.close(self._lock)


def claim(root: str, state: ContainerState) -> Claim:
    """Return the locked directory of a new container, with its first state in it.

    Raises:
        StateError: there is a container of this id already, or the state cannot be written.
    """
    lock = make_claimed(root, state.id, {_STATE: lossless.encode(state)})
    return Claim(root, state.id, lock)


def abandoned(root: str) -> Iterator[tuple[Claim, ContainerState | None]]:
    """Yield what no living process owns, each held by us now; its state is None when unreadable."""
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(root, error) from error
    for name in names:
        if name.startswith(NEW):
            remove_unfinished(os.path.join(root, name))
            continue
        if os.path.lexists(os.path.join(root, name, OF_AN_ENGINE)):
            continue  # nobody holds it while it runs, and whoever created it deletes it
        lock = take_lock(os.path.join(root, name))
        if lock is not None:
            yield Claim(root, name, lock), read_state(root, name)
        elif not name.startswith(NOT_A_CONTAINER):
            remove_empty(os.path.join(root, name))


def read_state(root: str, container: str) -> ContainerState | None:
    """Return the state of a container, or None when there is none that can be read."""
    try:
        with open(os.path.join(root, container, _STATE), "rb") as file:
            return lossless.decode(file.read(_MAXIMUM_STATE_BYTES), ContainerState)
    except (OSError, msgspec.MsgspecError):
        return None


def read_process(root: str, container: str) -> Process | None:
    """Return the first process of a container, or None when it has none that can be read."""
    return processes.read_process(os.path.join(root, container, _PROCESS))


def read_helper(root: str, container: str) -> Process | None:
    """Return the program that connects a container's network, or None without one."""
    return processes.read_process(os.path.join(root, container, _HELPER))
