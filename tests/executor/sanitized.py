"""The executor under the address and undefined behaviour sanitizers, fed with any bytes.

It works as a user without any right, in new namespaces, with pipes for its streams: whatever a
plan makes it do, nothing of the machine changes.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.executor.encode import REPORT_SIZE, SYNC, Report, decode_report
from nestbox.kernel import constants
from nestbox.kernel.spawn import Spawned, spawn

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted(REPOSITORY.glob("nestbox/executor/*.c"))
FLAGS = ("-std=c11", "-D_GNU_SOURCE=", "-g", "-O1", "-fno-omit-frame-pointer")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NAMESPACES = (
    constants.CLONE_NEWUSER
    | constants.CLONE_NEWNS
    | constants.CLONE_NEWPID
    | constants.CLONE_NEWIPC
    | constants.CLONE_NEWUTS
)
NOBODY = 65534
SECONDS = 20


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one plan ended: what was reported, the wait status, and what a sanitizer said."""

    reports: tuple[Report, ...]
    status: int
    signalled: bool
    said: str


def build(directory: Path) -> Path:
    """Compile the sanitized executor into a directory and return its path."""
    program = directory / "nestbox-init"
    extra = Path(__file__).with_name("sanitizer.c")
    command = ["gcc", *FLAGS, *SANITIZERS, "-o", str(program), *map(str, SOURCES), str(extra)]
    subprocess.run(command, check=True)
    return program


def outcomes(program: Path, plans: Iterable[bytes]) -> list[Outcome]:
    """Return how each plan ends, executed one after another by a user without rights."""
    fd = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return in_child(lambda: [outcome(fd, plan) for plan in plans])
    finally:
        os.close(fd)


def in_child(work: Callable[[], list[Outcome]]) -> list[Outcome]:
    """Return what a function returns in a child that has no rights and no directory."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            os.chdir("/")
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            with os.fdopen(write, "wb") as sink:
                sink.write(msgspec.msgpack.encode(work()))
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as source:
        data = source.read()
    assert os.waitpid(pid, 0)[1] == 0, "the child that executes plans failed"
    return msgspec.msgpack.decode(data, type=list[Outcome])


def outcome(program: int, plan: bytes) -> Outcome:
    """Return how one plan ends."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    errors = os.memfd_create("stderr", os.MFD_CLOEXEC)
    child = spawn(plan, program=program, flags=NAMESPACES, stdio=(null, null, errors))
    try:
        with socket.socket(fileno=child.control) as control:
            reports = converse(control, child)
        ended = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
        assert ended is not None
        return Outcome(
            reports=reports,
            status=ended.si_status,
            signalled=ended.si_code != os.CLD_EXITED,
            said=os.pread(errors, 1 << 16, 0).decode(errors="replace"),
        )
    finally:
        for fd in (null, errors, child.pidfd):
            os.close(fd)


def converse(control: socket.socket, child: Spawned) -> tuple[Report, ...]:
    """Return all reports; at a sync point the executor gets ids and goes on."""
    reports = []
    while True:
        if not select.select([control], [], [], SECONDS)[0]:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            raise AssertionError("the executor hangs")
        data = control.recv(REPORT_SIZE)
        if not data:
            break
        reports.append(decode_report(data))
        if reports[-1].kind == SYNC:
            map_ids(child.pid)
            control.send(b"g")
    return tuple(reports)


def map_ids(pid: int) -> None:
    """Make our own user root in the executor's user namespace, once."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {os.getuid()} 1"),
        ("gid_map", f"0 {os.getgid()} 1"),
    ):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)


def explain_missing() -> str:
    """Return why plans cannot be executed here, or nothing."""
    try:
        null = os.open("/bin/true", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return str(error)
    try:
        in_child(lambda: [outcome(null, b"")])
    except AssertionError:
        return "a user without rights cannot make user namespaces here"
    finally:
        os.close(null)
    return ""


@pytest.fixture(scope="session")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sanitized executor."""
    if missing := explain_missing():
        pytest.skip(missing)
    return build(tmp_path_factory.mktemp("executor"))


@pytest.fixture(scope="session")
def root() -> Iterator[str]:
    """Return a root that every user can read and only we can change."""
    with tempfile.TemporaryDirectory(prefix="nestbox-test-") as directory:
        for name in ("bin", "dev", "proc"):
            os.mkdir(os.path.join(directory, name), 0o755)
        shutil.copy("/bin/busybox", os.path.join(directory, "bin/true"))
        os.chmod(directory, 0o755)
        yield directory
