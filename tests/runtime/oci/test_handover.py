"""Descriptors that go to who listens at a socket: consoles, pidfds, seccomp listeners."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.runtime.oci.handover import PIDFD_PAYLOAD, connect, send_descriptor, send_to
from nestbox.runtime.oci.seccomp_agent import process_state, send_listener


class Listener:
    """A socket in the file system and what was received there."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX)
        directory = os.open(path.parent, os.O_PATH)
        self._socket.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        self._socket.listen()

    def receive(self) -> tuple[bytes, list[int]]:
        """Return the payload and the descriptors of the first connection."""
        connection, _ = self._socket.accept()
        with connection:
            data, fds, _, _ = socket.recv_fds(connection, 1 << 16, 4)
            while more := connection.recv(1 << 16):
                data += more
        return data, list(fds)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(name="listener")
def _listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "socket")
    yield listener
    listener.close()


def same_file(first: int, second: int) -> bool:
    return os.path.sameopenfile(first, second)


def test_the_descriptor_arrives_with_its_payload(listener: Listener) -> None:
    with open("/dev/full", "rb") as file:
        send_to(listener.path, file.fileno(), PIDFD_PAYLOAD)
        data, (received,) = listener.receive()
        assert data == PIDFD_PAYLOAD
        assert same_file(received, file.fileno())
    os.close(received)


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    listener = Listener(directory / "socket")
    before = os.listdir("/proc/self/fd")
    try:
        connection = connect(listener.path)
        assert not os.get_inheritable(connection)
        send_descriptor(connection, 0, b"name")
        os.close(connection)
        data, (received,) = listener.receive()
    finally:
        listener.close()
    os.close(received)
    assert data == b"name"
    assert len(os.listdir("/proc/self/fd")) < len(before)  # the listener, and nothing of ours


@pytest.mark.parametrize(
    ("name", "cause"),
    [("nothing", "no such file"), ("file", "connection refused"), ("x" * 300, "name too long")],
)
def test_a_socket_where_nobody_listens(tmp_path: Path, name: str, cause: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError) as caught:
        connect(str(tmp_path / name))
    assert cause in caught.value.cause


def test_a_listener_that_went(listener: Listener) -> None:
    connection = connect(listener.path)
    listener.close()
    try:
        with pytest.raises(LaunchError, match="broken pipe"):
            send_descriptor(connection, 0, b"name")
    finally:
        os.close(connection)


def test_nothing_is_sent_behind_the_message() -> None:
    # A receiver that has everything may close its end, and the next send would fail.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        send_descriptor(ours.fileno(), 0, b"name")
        data, (received,), _, _ = socket.recv_fds(theirs, 100, 4)
        os.close(received)
        assert data == b"name"
        with pytest.raises(BlockingIOError):
            theirs.recv(100, socket.MSG_DONTWAIT)


def test_an_agent_gets_the_listener_and_the_state(listener: Listener) -> None:
    state = json.dumps(
        {"id": "c", "status": "creating", "pid": 12, "annotations": {"a": "é" * 300_000}}
    ).encode()
    sender = threading.Thread(
        target=send_listener,
        args=(listener.path, 0),
        kwargs={"pid": 34, "metadata": "for-me", "state": state},
    )
    sender.start()  # more than a socket holds
    data, (received,) = listener.receive()
    sender.join()
    os.close(received)
    assert json.loads(data) == {
        "ociVersion": "1.3.0",
        "fds": ["seccompFd"],
        "pid": 34,
        "metadata": "for-me",
        "state": json.loads(state),
    }


def test_an_agent_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="failed to connect with seccomp agent"):
        send_listener(str(tmp_path / "agent"), 0, pid=1, metadata="", state=b"{}")


def test_metadata_is_there_when_empty() -> None:
    document = json.loads(process_state(pid=1, metadata="", state=b'{"id": "c"}'))
    assert document["metadata"] == ""
    assert document["state"] == {"id": "c"}
