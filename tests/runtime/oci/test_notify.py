"""What a container says of itself reaches the service manager: readiness, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.runtime.oci.notify import (
    NotifySocket,
    listen_if_asked,
    make_directory,
    remove_directory,
)


class Manager:
    """A service manager's socket, and what it is told; it keeps no descriptor that comes."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self.messages: list[bytes] = []
        self.barriers = 0
        self.synchronised = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 4096, 4)
            if data == b"end":
                return
            self.messages.append(data)
            for fd in fds:
                self.barriers += 1
                os.close(fd)
                self.synchronised.set()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"end", self.address.replace("@", "\0"))
        self._thread.join()
        self._socket.close()


class Messages:
    """A log that is only read."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str) -> None:
        self.warnings.append(message)

    info = debug = warning


@pytest.fixture(name="container")
def _container(tmp_path: Path) -> str:
    path = tmp_path / ("c" * 100)  # with it, no path of ours fits into an address
    path.mkdir()
    make_directory(str(path))
    return str(path)


@pytest.fixture(name="manager", params=["path", "abstract"])
def _manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "manager")
    manager = Manager(f"@{address}" if request.param == "abstract" else address)
    yield manager
    manager.close()


@pytest.fixture(name="process")
def _process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def say(container: str, message: bytes) -> None:
    directory = os.open(f"{container}/notify", os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(message, f"/proc/self/fd/{directory}/notify.sock")
    os.close(directory)


def test_readiness_is_passed_on_with_the_process(
    container: str, manager: Manager, process: subprocess.Popen[bytes]
) -> None:
    log = Messages()
    notify = NotifySocket(container, manager.address)
    say(container, b"STATUS=warming up")
    say(container, b"STATUS=warm\nREADY=1\n")
    notify.forward(process.pid, log)
    notify.close()
    pid = b"MAINPID=%d\n" % process.pid
    assert manager.messages == [b"READY=1\n", pid, b"BARRIER=1"]
    assert manager.barriers == 1
    assert log.warnings == []


def test_in_the_background_we_are_the_process_to_watch(container: str, manager: Manager) -> None:
    notify = NotifySocket(container, manager.address)
    notify.forward_in_background(os.getpid(), Messages())
    say(container, b"READY=1")
    assert manager.synchronised.wait(timeout=10)
    notify.close()
    assert b"MAINPID=%d\n" % os.getpid() in manager.messages


def test_a_process_that_ends_without_a_word_ends_the_wait(
    container: str, manager: Manager, process: subprocess.Popen[bytes]
) -> None:
    notify = NotifySocket(container, manager.address)
    assert process.stdin is not None
    process.stdin.close()
    notify.forward(process.pid, Messages())
    notify.close()
    assert manager.messages == []


def test_a_word_just_before_the_end_is_heard(
    container: str, manager: Manager, process: subprocess.Popen[bytes]
) -> None:
    notify = NotifySocket(container, manager.address)
    say(container, b"READY=1")
    process.kill()
    process.wait()
    notify.forward(process.pid, Messages())
    notify.close()
    assert b"READY=1\n" in manager.messages


def test_a_manager_that_is_gone_is_a_warning(
    container: str, process: subprocess.Popen[bytes]
) -> None:
    log = Messages()
    notify = NotifySocket(container, "/no/such/socket")
    say(container, b"READY=1")
    notify.forward(process.pid, log)
    notify.close()
    assert log.warnings == [
        "cannot tell the service manager at '/no/such/socket': no such file or directory"
    ]


def test_everybody_may_write_and_a_second_start_takes_over(container: str) -> None:
    first = NotifySocket(container, "@m")
    second = NotifySocket(container, "@m")
    assert os.stat(f"{container}/notify/notify.sock").st_mode & 0o777 == 0o777
    first.close()
    say(container, b"x")
    assert os.read(second.fileno(), 10) == b"x"
    second.close()


def test_it_listens_only_when_asked_to(container: str, tmp_path: Path) -> None:
    assert listen_if_asked(container, {}) is None
    assert listen_if_asked(container, {"NOTIFY_SOCKET": ""}) is None
    assert listen_if_asked(str(tmp_path), {"NOTIFY_SOCKET": "@m"}) is None  # created without one
    notify = listen_if_asked(container, {"NOTIFY_SOCKET": "@m"})
    assert notify is not None
    notify.close()


def test_the_directory_goes_with_the_socket(container: str) -> None:
    NotifySocket(container, "@m").close()
    remove_directory(container)
    assert os.listdir(container) == []
    remove_directory(container)
    with pytest.raises(LaunchError, match="no such file"):
        NotifySocket(container, "@m")
