"""A connection to a message bus, on which every wait has an end.

The messages are made and read by jeepney, which does no input or output by itself.

Source: D-Bus specification, "Authentication Protocol" and "Message Protocol".
"""

from __future__ import annotations

import errno
import time
from collections import deque
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason

if TYPE_CHECKING:
    from socket import socket

    from jeepney import Message

_CONNECT_SECONDS = 5.0
_BUSY_TRIES = 7
_BUSY_SECONDS = 0.1
_CHUNK_BYTES = 1 << 16


class Connection:
    """One connection; it has said hello, so that calls can be made."""

    def __init__(self, address: str) -> None:
        """Connect to a bus by its address. Raises LaunchError."""
        from jeepney import Parser, message_bus

        self._socket = _connect(address)
        self._parser = Parser()
        self._signals: deque[Message] = deque()
        self._serial = 0
        try:
            self.call(message_bus.Hello(), _CONNECT_SECONDS)
        except TimeoutError as error:
            self.close()
            raise unreachable(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def call(self, message: Message, seconds: float) -> Message:
        """Return the answer to a call, which may be an error. Raises TimeoutError, LaunchError."""
        from jeepney import HeaderFields

        self._serial += 1
        deadline = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(message.serialise(serial=self._serial))
        except TimeoutError:
            raise
        except OSError as error:
            raise unreachable(error) from error
        while True:
            received = self._receive(deadline)
            if received.header.fields.get(HeaderFields.reply_serial) == self._serial:
                return received
            self._keep(received)

    def next_signal(self, seconds: float) -> Message:
        """Return the next signal, one that came during a call first. Raises as ``call`` does."""
        deadline = time.monotonic() + seconds
        while not self._signals:
            self._keep(self._receive(deadline))
        return self._signals.popleft()

    def _keep(self, message: Message) -> None:
        from jeepney import MessageType

        if message.header.message_type is MessageType.signal:
            self._signals.append(message)

    def _receive(self, deadline: float) -> Message:
        while (message := self._parser.get_next_message()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the bus did not answer in time")
            try:
                self._socket.settimeout(left)
                received = self._socket.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise unreachable(error) from error
            if not received:
                raise unreachable(OSError(errno.ECONNRESET, "the bus closed the connection"))
            self._parser.add_data(received)
        return message


def _connect(address: str) -> socket:
    """Return a connected socket that the bus has taken for ours. A busy bus is tried again."""
    from jeepney.bus import get_connectable_addresses

    try:
        path = next(get_connectable_addresses(address))
    except (RuntimeError, ValueError, KeyError) as error:
        raise unreachable(error) from error
    pause = _BUSY_SECONDS
    for tries_left in range(_BUSY_TRIES - 1, -1, -1):
        try:
            return _authenticated(path)
        except OSError as error:
            if error.errno != errno.EAGAIN or not tries_left:
                raise unreachable(error) from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("the last try returns or raises")


def _authenticated(path: str) -> socket:
    """Return a connected and authenticated socket. Raises OSError.

    As whom we come is left to the credentials that the kernel passes on: in a user namespace the
    bus knows our uid by another number than we do.
    """
    from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

    connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connected.settimeout(_CONNECT_SECONDS)
        connected.connect(path)
        connected.sendall(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        answer = b""
        while answer.count(b"\r\n") < 2:
            received = connected.recv(_CHUNK_BYTES)
            answer += received
            if not received or answer.startswith(b"REJECTED"):
                break
        if not answer.startswith(b"DATA") or b"\r\nOK " not in answer:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the bus does not accept this user")
        connected.sendall(b"BEGIN\r\n")
    except BaseException:
        connected.close()
        raise
    return connected


def unreachable(error: Exception) -> LaunchError:
    """Return the error for a bus that cannot be used."""
    words = reason(error) if isinstance(error, OSError) else str(error).lower()
    return LaunchError(
        "failed to connect to dbus",
        cause=words or "its address is empty",
        remedy="see whether dbus-daemon and systemd run, or use --cgroup-manager cgroupfs",
    )
