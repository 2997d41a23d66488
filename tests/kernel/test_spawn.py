"""What the executor's process does before it is the executor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import Spawned, spawn

NO_PLAN = b"no plan"  # the executor refuses it and exits


def started(tasks: tuple[int, ...], *, plain: bool = False, flags: int = 0) -> Spawned:
    """Start the executor, and wait for its end."""
    child = spawn(
        NO_PLAN, program=sealed_program(), flags=flags, stdio=(0, 1, 2), tasks=tasks, plain=plain
    )
    os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    os.close(child.pidfd)
    os.close(child.control)
    return child


@pytest.mark.parametrize("plain", [False, True])
def test_the_child_asks_each_cgroup_for_itself_and_says_which_refused(
    tmp_path: Path, plain: bool
) -> None:
    paths = [tmp_path / name for name in ("first", "closed", "last")]
    for path in paths:
        path.touch()
    modes = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
    files = tuple(os.open(path, mode) for path, mode in zip(paths, modes, strict=True))
    try:
        child = started(files, plain=plain)
    finally:
        for fd in files:
            os.close(fd)
    assert child.entered == (True, False, True)
    assert [path.read_text() for path in paths] == ["0", "", "0"]


def test_a_child_that_is_given_no_cgroup_has_entered_none() -> None:
    assert started(()).entered == ()


def test_clone_2_makes_namespaces_and_hands_over_descriptors_as_clone3_does() -> None:
    """The executor answers a plan that is none in the same way, whichever call started it."""
    answers = set()
    for plain in (False, True):
        child = spawn(NO_PLAN, program=sealed_program(), flags=0, stdio=(0, 1, 2), plain=plain)
        answers.add(os.read(child.control, 4096))
        ended = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
        assert ended is not None
        assert ended.si_code == os.CLD_EXITED
        os.close(child.pidfd)
        os.close(child.control)
    assert len(answers) == 1


@pytest.mark.root
def test_the_namespaces_of_clone_2_are_new_and_the_handlers_of_ours_do_not_run_there() -> None:
    """A handler that ran in the child would run in our memory; it shows there as a second call."""
    script = """
import os, signal, sys
from nestbox.executor.program import sealed_program
from nestbox.kernel.constants import CLONE_NEWPID, CLONE_NEWUTS
from nestbox.kernel.spawn import spawn
seen = []
signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(os.getpid()))
program = sealed_program()
for _ in range(50):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.kill(os.getpid(), signal.SIGUSR1)
    child = spawn(b"no plan", program=program, flags=CLONE_NEWPID | CLONE_NEWUTS,
                  stdio=(0, 1, 2), plain=True)
    os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    os.close(child.pidfd); os.close(child.control)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
print(len(seen), set(seen) == {os.getpid()})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["50", "True"]


@pytest.mark.root
def test_clone_2_enters_a_cgroup_of_version_2_before_anything_else(tmp_path: Path) -> None:
    """What the child writes to cgroup.procs moves itself; a plain file shows what it wrote."""
    (tmp_path / "cgroup.procs").touch()
    cgroup = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        child = spawn(
            NO_PLAN,
            program=sealed_program(),
            flags=0,
            stdio=(0, 1, 2),
            cgroup=cgroup,
            plain=True,
        )
    finally:
        os.close(cgroup)
    os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    os.close(child.pidfd)
    os.close(child.control)
    assert (tmp_path / "cgroup.procs").read_text() == "0"


def test_a_cgroup_that_clone_2_cannot_enter_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    cgroup = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.listdir("/proc/self/fd")
    try:
        with pytest.raises(FileNotFoundError):
            spawn(
                NO_PLAN,
                program=sealed_program(),
                flags=0,
                stdio=(0, 1, 2),
                cgroup=cgroup,
                plain=True,
            )
        assert os.listdir("/proc/self/fd") == before
    finally:
        os.close(cgroup)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
