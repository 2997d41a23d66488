"""Word from the container that it is ready, passed on to the service manager that started us.

The container has a socket of its own at ``/run/notify/notify.sock`` (policy.config.places mounts
its directory), so that nothing but READY reaches the manager's.

Source: sd_notify(3), sd_notify_barrier(3).
"""

from __future__ import annotations

import errno
import os
import select
import sys

from nestbox.errors import LaunchError, reason
from nestbox.runtime.directories import remove_flat
from nestbox.runtime.oci.handover import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping

    from nestbox.runtime.oci.requests import Log

DIRECTORY = "notify"
SOCKET = "notify.sock"
_MAXIMUM_MESSAGE_BYTES = 4096
_BARRIER_SECONDS = 30
_INT_SIZE = 4


def make_directory(container: str) -> None:
    """Make the directory of the socket in the container's state directory.

    Raises:
        LaunchError: it cannot be made.
    """
    try:
        os.mkdir(os.path.join(container, DIRECTORY), 0o755)
    except FileExistsError:
        pass
    except OSError as error:
        raise _unusable(os.path.join(container, DIRECTORY), error) from error


def remove_directory(container: str) -> None:
    """Remove the directory and the socket in it; nothing when it is gone. Raises LaunchError."""
    try:
        remove_flat(os.path.join(container, DIRECTORY))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unusable(os.path.join(container, DIRECTORY), error) from error


def listen_if_asked(container: str, environ: Mapping[str, str]) -> NotifySocket | None:
    """Return the socket of a container that was created with one, when a manager waits for us.

    Call it before the program runs. Raises LaunchError when it cannot be made.
    """
    manager = environ.get("NOTIFY_SOCKET", "")
    if not manager or not os.path.isdir(os.path.join(container, DIRECTORY)):
        return None
    return NotifySocket(container, manager)


class NotifySocket:
    """The socket that the container's program writes to, from before it runs until ``close``."""

    def __init__(self, container: str, manager: str) -> None:
        """Make the socket.

        Args:
            container: the state directory of the container.
            manager: the service manager's socket, as in NOTIFY_SOCKET: a path, or a name after @.

        Raises:
            LaunchError: it cannot be made.
        """
        self._manager = manager
        self._fd = _bind(os.path.join(container, DIRECTORY))

    def fileno(self) -> int:
        """Return the descriptor, readable when there is a message."""
        return self._fd

    def close(self) -> None:
        """Stop listening."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def forward(self, pid: int, log: Log) -> None:
        """Wait until the container is ready, or process ``pid`` is dead, and pass that on.

        The manager is told READY and that ``pid`` is the process to watch. One that cannot be told
        is a warning: the container runs.
        """
        try:
            ready = self._wait(pid)
            if ready and not _tell(self._manager, ready, pid):
                log.warning("the service manager did not answer within 30 seconds; ignored")
        except OSError as error:
            log.warning(f"cannot tell the service manager at {self._manager!r}: {reason(error)}")

    def forward_in_background(self, main_pid: int, log: Log) -> None:
        """As ``forward``, while this process attends to the container and is the one to watch."""
        import _thread

        _thread.start_new_thread(self.forward, (main_pid, log))

    def _wait(self, pid: int) -> bytes:
        """Return the line that says ready, or nothing when the process ends without it."""
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return self._ready()
        try:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.register(process, select.POLLIN)
            while True:
                ended = process in [fd for fd, _ in poll.poll()]
                ready = self._ready()
                if ready or ended:
                    return ready
        finally:
            os.close(process)

    def _ready(self) -> bytes:
        """Return the first line that says ready in the messages that are there."""
        while True:
            try:
                message = os.read(self._fd, _MAXIMUM_MESSAGE_BYTES)
            except BlockingIOError:
                return b""
            for line in message.split(b"\n"):
                if line.startswith(b"READY="):
                    return line


def _bind(directory: str) -> int:
    import _socket

    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
    try:
        parent = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = f"/proc/self/fd/{parent}/{SOCKET}"
            _unlink(name)
            socket.bind(name)
            os.chmod(name, 0o777)  # whoever the program runs as
        finally:
            os.close(parent)
    except OSError as error:
        socket.close()
        raise _unusable(os.path.join(directory, SOCKET), error) from error
    return socket.detach()


def _unlink(path: str) -> None:
    """Remove the socket of a start that was killed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _tell(manager: str, ready: bytes, main_pid: int) -> bool:
    """Tell the manager and wait until it has taken it in; False when that lasts too long.

    Raises:
        OSError: the manager cannot be reached.
    """
    import _socket

    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    try:
        _connect(socket, manager)
        socket.send(ready + b"\n")
        socket.send(b"MAINPID=%d\n" % main_pid)
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            rights = write.to_bytes(_INT_SIZE, sys.byteorder)
            socket.sendmsg([b"BARRIER=1"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        finally:
            os.close(write)
        return _wait_for_end(read)
    finally:
        socket.close()


def _connect(socket: _socket.socket, manager: str) -> None:
    if manager.startswith("@"):
        socket.connect(b"\0" + os.fsencode(manager[1:]))
        return
    with Address(manager) as address:
        socket.connect(address)


def _wait_for_end(pipe: int) -> bool:
    """Wait until all other ends of a pipe are closed, which tells that a message was handled."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    try:
        return bool(poll.poll(_BARRIER_SECONDS * 1000))
    finally:
        os.close(pipe)


def _unusable(path: str, error: OSError) -> LaunchError:
    remedy = "choose a root on a file system that has sockets with --root"
    if error.errno == errno.ENOENT:
        remedy = "create the container and start it with the same NOTIFY_SOCKET"
    return LaunchError(f"cannot use {path!r} for notifications", cause=reason(error), remedy=remedy)
