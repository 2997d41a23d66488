"""What the executor's process does before it is the executor."""

from __future__ import annotations

import os
from pathlib import Path

from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import Spawned, spawn

NO_PLAN = b"no plan"  # the executor refuses it and exits


def started(tasks: tuple[int, ...]) -> Spawned:
    """Start the executor, and wait for its end."""
    child = spawn(NO_PLAN, program=sealed_program(), flags=0, stdio=(0, 1, 2), tasks=tasks)
    os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    os.close(child.pidfd)
    os.close(child.control)
    return child


def test_the_child_asks_each_cgroup_for_itself_and_says_which_refused(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first", "closed", "last")]
    for path in paths:
        path.touch()
    modes = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
    files = tuple(os.open(path, mode) for path, mode in zip(paths, modes, strict=True))
    try:
        child = started(files)
    finally:
        for fd in files:
            os.close(fd)
    assert child.entered == (True, False, True)
    assert [path.read_text() for path in paths] == ["0", "", "0"]


def test_a_child_that_is_given_no_cgroup_has_entered_none() -> None:
    assert started(()).entered == ()
