"""A helper: what it is given, what not, and that it dies with whoever started it."""

from __future__ import annotations

import errno
import os
import select
import signal
import threading
from pathlib import Path

import pytest

from nestbox.kernel.helpers import start_helper

SECONDS = 20


def run(tmp_path: Path, script: str, kept: tuple[int, ...] = (), directory: int = -1) -> str:
    """Run a shell line as a helper to its end and return what it wrote."""
    with open(tmp_path / "said", "w+b") as said:
        arguments = ["/bin/sh", "-c", script]
        pid, pidfd = start_helper(
            arguments,
            environment=("A=b",),
            output=said.fileno(),
            kept=kept,
            directory=directory,
        )
        try:
            assert select.select([pidfd], [], [], SECONDS)[0]
            result = os.waitid(os.P_PID, pid, os.WEXITED)
            assert result is not None
            assert result.si_status == 0
        finally:
            os.close(pidfd)
        said.seek(0)
        return said.read().decode()


def test_it_has_the_variables_that_were_given_and_no_other(tmp_path: Path) -> None:
    names = {line.partition("=")[0] for line in run(tmp_path, "/usr/bin/env").splitlines()}
    assert "A" in names
    assert names <= {"A", "PWD", "SHLVL", "_", "OLDPWD"}


def test_it_works_in_the_root_and_in_a_session_of_its_own(tmp_path: Path) -> None:
    where, session, own = run(tmp_path, "pwd; cut -d' ' -f6 </proc/$$/stat; echo $$").split()
    assert where == "/"
    assert session == own


def test_it_starts_in_a_directory_that_it_does_not_hold(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        where, *held = run(tmp_path, "pwd; ls /proc/$$/fd", directory=place).split()
    finally:
        os.close(place)
    assert where == str(tmp_path)
    assert str(place) not in held


def test_it_reads_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "cat") == ""


def test_it_has_no_descriptor_of_ours_but_the_kept(tmp_path: Path) -> None:
    with open("/dev/null", "rb") as one, open("/dev/null", "rb") as other:
        os.set_inheritable(other.fileno(), True)
        listed = run(tmp_path, "ls /proc/$$/fd", kept=(one.fileno(),))
        # The shell may hold one of its own above ten.
        found = {
            int(name) for name in listed.split() if int(name) < 10 or int(name) == one.fileno()
        }
        assert found - {10} == {0, 1, 2, one.fileno()}
        assert str(other.fileno()) not in listed.split()


def test_no_signal_is_blocked_or_handled_in_it(tmp_path: Path) -> None:
    old = signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        text = run(tmp_path, "cat /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        signal.signal(signal.SIGUSR1, old)
    lines = dict(line.split(":", 1) for line in text.splitlines())
    assert [int(lines[name], 16) for name in ("SigBlk", "SigCgt")] == [0, 0]


def test_a_program_that_is_not_there_is_an_error_and_leaves_no_child(tmp_path: Path) -> None:
    with open(tmp_path / "said", "wb") as said:
        with pytest.raises(OSError, match="No such file") as failed:
            start_helper([str(tmp_path / "none")], environment=(), output=said.fileno(), kept=())
        assert failed.value.errno == errno.ENOENT


def test_a_descriptor_that_is_not_open_is_an_error(tmp_path: Path) -> None:
    with open(tmp_path / "said", "wb") as said, pytest.raises(OSError, match="Bad file"):
        start_helper(["/bin/true"], environment=(), output=said.fileno(), kept=(900,))


def test_it_dies_with_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[tuple[int, int]] = []
    with open(tmp_path / "said", "wb") as said:

        def start() -> None:
            started.append(
                start_helper(["/bin/sleep", "60"], environment=(), output=said.fileno(), kept=())
            )

        thread = threading.Thread(target=start)
        thread.start()
        thread.join(SECONDS)
    ((pid, pidfd),) = started
    assert select.select([pidfd], [], [], SECONDS)[0]
    result = os.waitid(os.P_PID, pid, os.WEXITED)
    os.close(pidfd)
    assert result is not None
    assert (result.si_code, result.si_status) == (os.CLD_KILLED, signal.SIGKILL)
