"""In which cgroups a process is by its birth, and which it has to be moved to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import Spawned, spawn
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.runtime.cgroup import tree
from nestbox.runtime.oci.birth import spawn_in_cgroups


def start(unified: int, tasks: tuple[int, ...]) -> Spawned:
    """Start an executor that refuses its plan, and wait for its end."""
    child = spawn(
        b"no plan", program=sealed_program(), flags=0, stdio=(0, 1, 2), cgroup=unified, tasks=tasks
    )
    os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
    os.close(child.pidfd)
    os.close(child.control)
    return child


def location(directory: Path, *keys: str, version: int = 1) -> CgroupLocation:
    """Return directories that look like cgroups, in which no process can be by its birth."""
    directories = {}
    for key in keys:
        path = directory / (key or "unified")
        path.mkdir()
        directories[key] = str(path)
    return CgroupLocation(version=version, directories=directories)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_child_is_in_those_that_let_it_in(tmp_path: Path) -> None:
    there = location(tmp_path, "pids", "memory")
    (tmp_path / "pids/tasks").touch()
    sealed_program()
    before = open_files()
    _, born_in = spawn_in_cgroups(there, start)
    assert born_in == {"pids"}
    assert (tmp_path / "pids/tasks").read_text() == "0"
    assert open_files() == before


def test_what_is_no_version_2_cgroup_stops_no_birth(tmp_path: Path) -> None:
    there = location(tmp_path, "pids", UNIFIED)
    (tmp_path / "pids/tasks").touch()
    sealed_program()
    before = open_files()
    assert spawn_in_cgroups(there, start)[1] == {"pids"}
    assert open_files() == before


def test_on_version_2_alone_it_is_clone_that_places_the_child(tmp_path: Path) -> None:
    there = location(tmp_path, UNIFIED, version=2)
    assert spawn_in_cgroups(there, start)[1] == frozenset()


def test_a_process_is_moved_to_the_others_alone(tmp_path: Path) -> None:
    there = location(tmp_path, "pids", "memory")
    for key in ("pids", "memory"):
        (tmp_path / key / "cgroup.procs").touch()
    tree.enter(there, 42, frozenset({"pids"}))
    assert (tmp_path / "pids/cgroup.procs").read_text() == ""
    assert (tmp_path / "memory/cgroup.procs").read_text() == "42"


def test_a_cgroup_that_takes_nobody_is_told_of(tmp_path: Path) -> None:
    there = location(tmp_path, "pids", "memory")
    with pytest.raises(LaunchError, match=r"pid 42 to cgroups: .*/memory"):
        tree.enter(there, 42, frozenset({"pids"}))
