"""Asking the engine around us: what it answers, and sockets that are anything but an engine's."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nestbox.outer import engine_api
from nestbox.outer.facts import Mount

CONTAINER = "0123456789abcdef" * 4

Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that answers the next connection to a socket, and the socket's path."""
    listeners = []
    threads = []

    def start(answer: Callable[[socket.socket], None]) -> str:
        path = str(tmp_path / f"{len(listeners)}.sock")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(20)

        def once() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                try:
                    answer(connection)
                except OSError:
                    return  # it was given up

        thread = threading.Thread(target=once)
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        return path

    yield start
    for listener in listeners:
        listener.close()
    for thread in threads:
        thread.join(20)


def only(path: str) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{path}"}


def respond(body: bytes, status: str = "200 OK") -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.0 {status}\r\nX: y\r\n\r\n".encode() + body)

    return answer


def test_answer_of_an_engine(serve: Serve) -> None:
    host = {
        "Privileged": False,
        "CapAdd": ["SYS_ADMIN"],
        "CapDrop": None,
        "SecurityOpt": ["seccomp=unconfined"],
        "Devices": [{"PathInContainer": "/dev/fuse"}],
        "MaskedPaths": ["/proc/kcore"],
        "UsernsMode": "",
        "CgroupnsMode": "private",
        "NetworkMode": "bridge",
        "PidMode": "",
        "ReadonlyRootfs": True,
    }
    path = serve(respond(json.dumps({"HostConfig": host}).encode()))
    answer, notes = engine_api.ask_engine(CONTAINER, only(path), ())
    assert answer is not None
    assert answer.cap_add == ("SYS_ADMIN",)
    assert answer.devices == ("/dev/fuse",)
    assert answer.read_only
    assert notes == (f"{path}: it knows our container",)


def hang(connection: socket.socket) -> None:
    connection.recv(4096)
    while connection.recv(4096):
        continue


def trickle(connection: socket.socket) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        connection.sendall(b"H")
        # One byte at a time keeps a limit on each read from ever being met.
        threading.Event().wait(0.05)


def greet(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"SSH-2.0-x\r\n")


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    for _ in range(1024):
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (respond(b"", "404 Not Found"), "HTTP status 404"),
        (respond(b"{"), "it is no JSON"),
        (respond(b"[" * 100_000), "it is no JSON"),
        (respond(b"[]"), "it is no container's description"),
        (respond(b'{"HostConfig": 7}'), "it is no container's description"),
        (respond(b"\xff\xfe"), "it is no JSON"),
        (greet, "does not speak HTTP"),
        (lambda connection: connection.recv(4096), "does not speak HTTP"),
        (hang, "no whole answer"),
        (trickle, "no whole answer"),
        (flood, "larger than"),
    ],
)
def test_what_is_no_engine_is_a_note_within_a_time_limit(
    answer: Callable[[socket.socket], None], words: str, serve: Serve
) -> None:
    path = serve(answer)
    before = time.monotonic()
    found, (note,) = engine_api.ask_engine(CONTAINER, only(path), ())
    assert time.monotonic() - before < 10
    assert found is None
    assert note.startswith(f"{path}: ")
    assert words in note


def test_fields_of_other_types_are_passed_over(serve: Serve) -> None:
    odd = {"HostConfig": {"CapAdd": "ALL", "Devices": [1, {}], "SecurityOpt": [3], "PidMode": 5}}
    answer, _ = engine_api.ask_engine(CONTAINER, only(serve(respond(json.dumps(odd).encode()))), ())
    assert answer is not None
    assert (answer.cap_add, answer.security_opt, answer.pid) == ((), (), "")
    assert answer.devices == ("",)


def test_only_sockets_are_asked(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.mkfifo(tmp_path / "fifo")
    for path in (file, tmp_path / "fifo", tmp_path / "absent", "a\0b"):
        assert engine_api.ask_engine(CONTAINER, only(str(path)), ()) == (None, ())
    assert engine_api.sockets({"DOCKER_HOST": "tcp://127.0.0.1:2375"}, ()) == ()


def test_a_closed_socket_is_a_note(tmp_path: Path) -> None:
    path = str(tmp_path / "closed")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path)
    found, (note,) = engine_api.ask_engine(CONTAINER, only(path), ())
    assert found is None
    assert "refused" in note


def mount(target: str, root: str) -> Mount:
    return Mount(
        id=1,
        parent=1,
        device="8:1",
        root=root,
        target=target,
        options=(),
        propagation=(),
        fstype="ext4",
        source="/dev/sda1",
        super_options=(),
    )


def test_our_own_id_is_found_where_engines_leave_it() -> None:
    root = f"/var/lib/docker/containers/{CONTAINER}/hostname"
    assert engine_api.own_container([mount("/etc/hostname", root)], []) == CONTAINER
    assert engine_api.own_container([], [f"/docker/{CONTAINER}"]) == CONTAINER
    assert engine_api.own_container([mount("/data", root)], ["/user.slice"]) is None
    assert engine_api.own_container([], [f"/x/{CONTAINER}0"]) is None
