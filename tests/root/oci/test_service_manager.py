"""A container as a service: what its manager hands over, and what the manager is told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.driver import SECONDS
from tests.root.oci.driver import Oci


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.settimeout(SECONDS)
        yield manager


@pytest.fixture(name="oci")
def _oci(oci: Oci) -> Oci:
    oci.directory.mkdir(parents=True)  # for commands that are started here
    return oci


@pytest.fixture(name="environment")
def _environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")}


def hear(manager: socket.socket) -> list[bytes]:
    """Return what the manager is told up to the barrier, which it lets pass."""
    messages: list[bytes] = []
    while True:
        data, fds, _, _ = socket.recv_fds(manager, 4096, 4)
        for fd in fds:
            os.close(fd)
        if data == b"BARRIER=1":
            return messages
        messages.append(data)


def say(pid: int, message: bytes) -> None:
    """Say something where the container's program would."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (path,) = (one.partition(b"=")[2] for one in variables if one.startswith(b"NOTIFY_SOCKET="))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(message, f"/proc/{pid}/root{path.decode()}")


def test_start_waits_until_the_container_is_ready(oci, bundle, voice, manager, environment):
    name = oci.create(bundle.shell("echo up; sleep 1000"), stdout=voice.writing, env=environment)
    with subprocess.Popen(oci.words("start", name), env=environment) as process:
        assert voice.line() == "up"
        pid = oci.state(name)["pid"]
        say(pid, b"STATUS=nearly")
        assert process.poll() is None
        say(pid, b"READY=1")
        assert hear(manager) == [b"READY=1\n", b"MAINPID=%d\n" % pid]
        assert process.wait(SECONDS) == 0
    oci.ok("delete", "--force", name)
    assert not (oci.root / name).exists()


def test_start_ends_when_the_container_does(oci, bundle, manager, environment):
    name = oci.create(bundle.args("true"), env=environment)
    oci.start(name, env=environment)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_a_container_in_the_foreground_is_watched_by_us(oci, bundle, voice, manager, environment):
    name = oci.new_id()
    bundle.shell("echo up; sleep 1000")
    words = oci.words("run", "--bundle", str(bundle.write()), name)
    with subprocess.Popen(words, env=environment, stdout=voice.writing) as process:
        assert voice.line() == "up"
        say(oci.state(name)["pid"], b"READY=1")
        assert hear(manager) == [b"READY=1\n", b"MAINPID=%d\n" % process.pid]
        oci.ok("kill", name, "KILL")
        assert process.wait(SECONDS) == 128 + 9
    assert not (oci.root / name).exists()


def test_without_a_manager_there_is_no_socket(oci, bundle):
    done = oci.run(bundle.shell("ls /run/notify; env"))
    assert "NOTIFY_SOCKET" not in done.stdout
    assert not done.stdout.startswith("notify.sock")


def test_sockets_of_the_manager_reach_the_program(oci, bundle, tmp_path):
    bundle.shell("echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4; ls /proc/$$/fd; true")
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"{name}\n")
    words = oci.words("run", "--bundle", str(bundle.write()), "--preserve-fds", "1", oci.new_id())
    # A service manager execs the service itself, so that LISTEN_PID is its pid.
    script = (
        "import os, sys\n"
        "for number, path in enumerate(sys.argv[1:3], 3):\n"
        "    os.dup2(os.open(path, os.O_RDONLY), number)\n"
        "    os.set_inheritable(number, True)\n"
        "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}\n"
        "os.execv(sys.argv[3], sys.argv[3:])\n"
    )
    paths = [str(tmp_path / name) for name in ("first", "second")]
    done = subprocess.run(
        [sys.executable, "-c", script, *paths, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, oci.messages()
    lines = done.stdout.splitlines()
    assert lines[:3] == ["1 1", "first", "second"]
    assert lines[3:] == ["0", "1", "2", "3", "4"]


def test_no_descriptor_of_the_runtime_is_taken_for_one_of_the_manager(oci, bundle):
    words = oci.words("run", "--bundle", str(bundle.write()), oci.new_id())
    script = (
        "import os, sys\n"
        "os.environ |= {'LISTEN_FDS': '2', 'LISTEN_PID': str(os.getpid())}\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )
    assert done.returncode != 0
    assert any("descriptors of LISTEN_FDS" in text for text in oci.messages("error"))


def test_a_descriptor_that_is_not_there_is_named(oci, bundle):
    done = oci.run(bundle, "--preserve-fds", "50")
    assert done.exit_code != 0
    assert any("unable to stat preserved-fd" in text for text in oci.messages("error"))


def test_a_descriptor_of_the_process_arrives(oci, bundle, tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "pidfd"))
        server.listen()
        name = oci.create(bundle, "--pidfd-socket", str(tmp_path / "pidfd"))
        connection, _ = server.accept()
        with connection:
            _, (pidfd,), _, _ = socket.recv_fds(connection, 100, 1)
    info = Path(f"/proc/self/fdinfo/{pidfd}").read_text().split()
    assert int(info[info.index("Pid:") + 1]) == oci.state(name)["pid"]
    os.close(pidfd)


def test_a_socket_where_nobody_listens_makes_nothing(oci, bundle, tmp_path):
    name = oci.new_id()
    done = oci.try_create(bundle, name, "--pidfd-socket", str(tmp_path / "nobody"))
    assert done.exit_code != 0
    assert oci.status(name) == ""
