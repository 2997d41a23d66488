"""Limits of a container on a machine whose cgroup v2 has the controllers."""

from __future__ import annotations

import os

import pytest

from nestbox.errors import LaunchError
from nestbox.runtime.cgroup import apply, oom, tree
from nestbox.runtime.cgroup.files import read
from nestbox.runtime.cgroup.statistics import statistics
from nestbox.runtime.cgroup.update import update
from tests.root.oci.cgroups import (
    MEBIBYTE,
    begin,
    facts,
    limited,
    located,
    process,
    resources,
    value,
)


@pytest.fixture
def controllers() -> frozenset[str]:
    """Return what version 2 can limit here; without anything the test has no object."""
    mount = facts(2).hierarchies[0].mountpoint
    found = frozenset(read(mount, "cgroup.controllers").split())
    if not found:
        pytest.skip("version 2 has no controllers here")
    return found


def test_limits_are_in_the_files_of_version_2(controllers):
    assert {"memory", "cpu", "cpuset", "pids", "io"} <= controllers
    with located(2) as location:
        limited(
            location,
            memory={
                "limit": 64 * MEBIBYTE,
                "swap": 96 * MEBIBYTE,
                "reservation": 32 * MEBIBYTE,
            },
            cpu={"shares": 1024, "quota": 50000, "period": 20000, "burst": 10000, "cpus": "0"},
            pids={"limit": 7},
            blockIO={"weight": 500},
        )
        assert value(location, "", "memory.max") == str(64 * MEBIBYTE)
        assert value(location, "", "memory.low") == str(32 * MEBIBYTE)
        assert value(location, "", "cpu.weight") == "100"
        assert value(location, "", "cpu.max") == "50000 20000"
        assert value(location, "", "cpu.max.burst") == "10000"
        assert value(location, "", "cpuset.cpus") == "0"
        assert value(location, "", "pids.max") == "7"
        if os.path.exists(f"{location.main}/memory.swap.max"):
            assert value(location, "", "memory.swap.max") == str(32 * MEBIBYTE)


def test_limits_of_version_2_change(controllers):
    with located(2) as location:
        present = limited(location, memory={"limit": 64 * MEBIBYTE}, cpu={"quota": 50000})
        change = {"memory": {"limit": 32 * MEBIBYTE}, "cpu": {"idle": 1}, "pids": {"limit": 3}}
        present = update(location, present, resources(**change))
        assert value(location, "", "memory.max") == str(32 * MEBIBYTE)
        assert value(location, "", "cpu.idle") == "1"
        assert value(location, "", "pids.max") == "3"
        checked = {"memory": {"limit": 1, "checkBeforeUpdate": True}}
        with process() as child:
            tree.enter(location, child.pid)
            begin(child)
            assert child.poll() is None
        with pytest.raises(LaunchError, match="rejecting memory limit 1 <= usage"):
            update(location, present, resources(**checked))


def test_a_cgroup_below_one_with_processes_can_limit_only_what_is_threaded(controllers):
    with located(2) as outer, process() as child:
        apply.make(outer, ())
        tree.enter(outer, child.pid)
        path = outer.main.removeprefix(outer.mounts[""])
        message = r"cannot set memory limit|domain controllers"
        below = located(2, path=f"{path}/below")
        with below as location, pytest.raises(LaunchError, match=message):
            limited(location, memory={"limit": MEBIBYTE})


def test_running_out_of_memory_is_told_on_version_2(controllers, probe):
    with located(2) as location, process(f"{probe} memory 64; exit 0") as child:
        limited(location, memory={"limit": 16 * MEBIBYTE, "swap": 16 * MEBIBYTE})
        tree.enter(location, child.pid)
        with oom.OomEvents(location) as events:
            assert events.wait(0) is None
            begin(child)
            assert events.wait(20) == oom.OOM
            child.wait()
            assert oom.oom_kills(location) >= 1
            assert events.wait(20) == oom.ENDED


def test_statistics_of_version_2_have_every_controller(controllers, probe):
    work = f"{probe} memory 4 >/dev/null; echo on; exec sleep 1000"
    with located(2) as location, process(work) as child:
        limited(location, memory={"limit": 64 * MEBIBYTE}, pids={"limit": 9})
        tree.enter(location, child.pid)
        begin(child)
        assert child.stdout.readline() == "on\n"
        found = statistics(location)
        assert found.memory.usage.limit == 64 * MEBIBYTE
        assert found.memory.usage.usage > 0
        assert found.memory.swap.usage >= found.memory.usage.usage
        assert found.memory.raw["anon"] > 0
        assert (found.pids.current, found.pids.limit) == (1, 9)
        assert found.cpu.usage.total > 0
