"""Handing a descriptor to somebody who listens at a socket in the file system.

So the other end of the terminal goes to ``--console-socket`` and a descriptor of the first process
to ``--pidfd-socket``. The C module behind ``socket`` is used, since that one takes 6 ms to load.
"""

from __future__ import annotations

import os
import sys

from nestbox.errors import LaunchError, reason

# What runc sends along; receivers take it for the name of the file.
CONSOLE_PAYLOAD = b"/dev/ptmx"
PIDFD_PAYLOAD = b"pidfd"

_MAXIMUM_PATH = 107  # sun_path of unix(7), without the NUL
_INT_SIZE = 4


def connect(path: str) -> int:
    """Return a descriptor of a connection to the stream socket at ``path``, close-on-exec.

    Raises:
        LaunchError: nobody listens there.
    """
    import _socket

    try:
        with Address(path) as address:
            connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            try:
                connection.connect(address)
            except BaseException:
                connection.close()
                raise
    except (OSError, ValueError) as error:
        raise _unreachable(path, error) from error
    return connection.detach()


def send_descriptor(connection: int, fd: int, payload: bytes) -> None:
    """Send one descriptor with a payload that is not empty over a connection, which stays open.

    Raises:
        LaunchError: the receiver is gone.
    """
    import _socket

    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(_INT_SIZE, sys.byteorder))
    socket = _socket.socket(fileno=connection)
    try:
        sent = socket.sendmsg([payload], [rights], _socket.MSG_NOSIGNAL)
        if sent < len(payload):
            # Never an empty rest: a receiver that has everything may have closed its end.
            socket.sendall(payload[sent:], _socket.MSG_NOSIGNAL)
    except OSError as error:
        raise LaunchError(
            f"cannot send the descriptor of {payload[:40]!r}",
            cause=reason(error),
            remedy="keep the listener alive until it has received the descriptor",
        ) from error
    finally:
        socket.detach()


def send_to(path: str, fd: int, payload: bytes) -> None:
    """Send one descriptor with a payload to who listens at ``path``.

    Raises:
        LaunchError: nobody listens there, or the listener went.
    """
    connection = connect(path)
    try:
        send_descriptor(connection, fd, payload)
    finally:
        os.close(connection)


class Address:
    """A form of a path that fits into an address of unix(7), as long as the block runs."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _MAXIMUM_PATH:
            return self._path
        self._fd = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _unreachable(path: str, error: OSError | ValueError) -> LaunchError:
    return LaunchError(
        f"cannot connect to the socket {path!r}",
        cause=reason(error),
        remedy="start the program that listens there first, on a stream socket",
    )
