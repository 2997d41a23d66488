"""What a caller gets of a new process: its terminal, a descriptor of it, and its pid in a file.

Sockets are connected before anything is made, so that a wrong path costs nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nestbox.errors import UsageError

if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import CreateRequest, ExecRequest


class Outlets:
    """Connections to a console socket and a pidfd socket, -1 where none was named.

    With ``keep_master`` the caller serves the terminal itself.
    """

    def __init__(self, pid_file: str | None, *, keep_master: bool) -> None:
        self.console = -1
        self.pidfd = -1
        self._pid_file = pid_file
        self.keep_master = keep_master

    def send_console(self, master: int) -> None:
        """Hand the other end of the terminal to the console socket. Raises LaunchError."""
        from nestbox.runtime.oci.handover import CONSOLE_PAYLOAD, send_descriptor

        send_descriptor(self.console, master, CONSOLE_PAYLOAD)

    def take_console(self, master: int) -> int:
        """Take the other end of the terminal; return it if the caller serves it, else -1.

        Raises:
            LaunchError: it cannot be handed to the console socket.
        """
        if self.keep_master:
            from nestbox.runtime.terminal import keep_newlines

            keep_newlines(master)
            return master
        try:
            self.send_console(master)
        finally:
            os.close(master)
        return -1

    def announce(self, pid: int, pidfd: int) -> None:
        """Tell of the process: to the pidfd socket and in the pid file. Raises LaunchError."""
        if self.pidfd >= 0:
            from nestbox.runtime.oci.handover import PIDFD_PAYLOAD, send_descriptor

            send_descriptor(self.pidfd, pidfd, PIDFD_PAYLOAD)
        if self._pid_file is not None:
            from nestbox.runtime.oci.pid_file import write_pid_file

            write_pid_file(self._pid_file, pid)

    def close(self) -> None:
        """Close the connections."""
        for fd in (self.console, self.pidfd):
            if fd >= 0:
                os.close(fd)


@contextlib.contextmanager
def open_outlets(
    request: CreateRequest | ExecRequest, *, terminal: bool, keep_master: bool
) -> Iterator[Outlets]:
    """Give the outlets that a request names.

    Raises:
        UsageError: terminal and console socket do not fit together.
        LaunchError: nobody listens at one of the sockets.
    """
    check_console(terminal=terminal, socket=request.console_socket, attached=keep_master)
    outlets = Outlets(request.pid_file, keep_master=keep_master)
    try:
        if request.console_socket is not None or request.pidfd_socket is not None:
            from nestbox.runtime.oci.handover import connect

            if request.console_socket is not None:
                outlets.console = connect(request.console_socket)
            if request.pidfd_socket is not None:
                outlets.pidfd = connect(request.pidfd_socket)
        yield outlets
    finally:
        outlets.close()


def check_console(*, terminal: bool, socket: str | None, attached: bool) -> None:
    """Refuse a terminal that nobody would get, and a socket that would get none.

    ``attached`` is whether the caller serves the terminal itself. Raises UsageError.
    """
    if terminal and not attached and socket is None:
        raise UsageError(
            "cannot allocate tty if the runtime will detach without setting console socket",
            cause="process.terminal is true and nobody would hold the terminal",
            remedy="name a socket with --console-socket, or set process.terminal to false",
        )
    if socket is not None and (attached or not terminal):
        raise UsageError(
            "cannot use console socket if the runtime will not detach or allocate tty",
            cause="process.terminal is false" if not terminal else "the runtime stays attached",
            remedy="leave --console-socket out",
        )
