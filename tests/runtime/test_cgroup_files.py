"""The files of a cgroup, where the state of a container names something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestbox.runtime.cgroup.files import read, write


def test_nobody_waits_for_the_other_end_of_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cgroup.kill")
    reader = os.open(tmp_path / "cgroup.kill", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="Invalid argument"):
        write(str(tmp_path), "cgroup.kill", "1")
    os.close(reader)
    assert read(str(tmp_path), "cgroup.kill") == ""


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "cgroup.kill").symlink_to(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        write(str(tmp_path), "cgroup.kill", "1")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_value_is_written(tmp_path: Path) -> None:
    (tmp_path / "memory.max").touch()
    write(str(tmp_path), "memory.max", "max")
    assert read(str(tmp_path), "memory.max") == "max"
