"""One container: the files of its directory, its status, and its lock.

Beside the state (``container.json``), which names every effect before it exists, the directory of
a container has

    lock           held while a command changes the container
    config.json    the configuration as it was created with
    process        a link to "PID:START" of the container's first process, once there is one
    start.new      the socket at which the executor will wait; while the container is being created
    start          the same socket once the container is created; the command start removes it
    record.json    who asked for what, and what was given

so that the status needs no write that could be lost: it is read from these names and the process.
"""

from __future__ import annotations

import errno
import fcntl
import os

from nestbox.errors import StateError, reason
from nestbox.runtime.directories import LOCK, remove_flat, write_atomically
from nestbox.runtime.oci.state import State
from nestbox.runtime.processes import Process, is_alive, read_process

STATE = "container.json"
CONFIG = "config.json"
RECORD = "record.json"
SOCKET_NEW = "start.new"
SOCKET = "start"
# Neither a link nor, without end, a pipe: root reads what users may have put there.
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_LINKS_OF_ONE = 2  # of a directory without others in it

CREATING, CREATED, RUNNING, PAUSED, STOPPED = (
    "creating",
    "created",
    "running",
    "paused",
    "stopped",
)


class Container:
    """One container of a root, as it was when it was looked at."""

    def __init__(self, root: str, state: State) -> None:
        self.root = root
        self.state = state
        self.directory = os.path.join(root, state.id)

    @property
    def id(self) -> str:
        """The container's id."""
        return self.state.id

    def path(self, name: str) -> str:
        """Return the path of one of the files of the container's directory."""
        return os.path.join(self.directory, name)

    def process(self) -> Process | None:
        """Return the container's first process, None when there is none or it is dead."""
        process = read_process(self.path("process"))
        return process if process is not None and self._is_ours(process) else None

    def _is_ours(self, process: Process) -> bool:
        from nestbox.runtime.processes import boot_id, pid_namespace

        return (
            is_alive(process)
            and self.state.boot_id == boot_id()
            and self.state.pid_namespace == pid_namespace()
        )

    def status(self) -> str:
        """Return the status of runtime-spec, or "paused"."""
        if self.process() is None:
            return CREATING if self._is_being_created() else STOPPED
        if os.path.lexists(self.path(SOCKET)):
            return CREATED
        if os.path.lexists(self.path(SOCKET_NEW)):
            return CREATING
        return PAUSED if self.is_paused() else RUNNING

    def _is_being_created(self) -> bool:
        """Whether there is no process yet and somebody holds the lock."""
        if os.path.lexists(self.path("process")) or not os.path.lexists(self.path(SOCKET_NEW)):
            return False
        try:
            lock = os.open(self.path(LOCK), READ)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def is_paused(self) -> bool:
        """Whether the freezer of the container's cgroup is on."""
        directories = self.state.cgroup.get("directories", {})
        if self.state.cgroup.get("version") == 2:
            return _read(f"{directories.get('', '')}/cgroup.freeze") == "1"
        state = _read(f"{directories.get('freezer', '')}/freezer.state")
        return state in {"FROZEN", "FREEZING"}

    def has_inner_freezers(self) -> bool:
        """Whether the container can have frozen itself in a cgroup of its own, on version 1."""
        directory = self.state.cgroup.get("directories", {}).get("freezer")
        try:
            return directory is not None and os.stat(directory).st_nlink > _LINKS_OF_ONE
        except FileNotFoundError:
            return False

    def configuration(self) -> bytes:
        """Return the text of the config.json that the container was created with.

        Raises:
            StateError: it cannot be read.
        """
        try:
            with open(os.open(self.path(CONFIG), READ), "rb") as file:
                return file.read()
        except OSError as error:
            raise unreadable(self.path(CONFIG), reason(error)) from error


class Held:
    """A container's directory with its lock, which ends with ``let_go``, ``remove`` or us."""

    def __init__(self, root: str, container: str, lock: int) -> None:
        self.root = root
        self.directory = os.path.join(root, container)
        self._lock = lock

    def path(self, name: str) -> str:
        """Return the path of one of the files of the container's directory."""
        return os.path.join(self.directory, name)

    def write(self, name: str, data: bytes) -> None:
        """Replace a file of the directory as a whole. Raises StateError."""
        write_atomically(self.path(name), data)

    def write_process(self, process: Process) -> None:
        """Set the container's first process, in place of another one. Raises StateError."""
        try:
            os.symlink(f"{process.pid}:{process.start}", self.path("process.new"))
            os.rename(self.path("process.new"), self.path("process"))
        except OSError as error:
            raise unreadable(self.path("process"), reason(error)) from error

    def let_go(self) -> None:
        """End the lock and leave everything in place."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Remove the directory, and with it the container's name. Raises OSError."""
        try:
            remove_flat(self.directory)
        except FileNotFoundError:
            pass
        finally:
            self.let_go()


def unreadable(path: str, cause: str) -> StateError:
    """Return the error for something of a container that cannot be used."""
    return StateError(
        f"cannot use {path!r}",
        cause=cause,
        remedy="remove the container with delete --force",
    )


def _read(path: str) -> str:
    try:
        with open(os.open(path, READ), "rb") as file:
            return file.read(64).decode(errors="replace").strip()
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENOTDIR}:
            return ""
        raise
