"""Limits of a container on a real kernel: written, changed, counted, and their events."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from nestbox.errors import LaunchError
from nestbox.policy.config.cgroup_settings import settings
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


def has(controller: str, file: str) -> bool:
    """Return whether version 1 of this kernel has a file."""
    return any(
        os.path.exists(f"{one.mountpoint}/{file}")
        for one in facts(1).hierarchies
        if controller in one.controllers
    )


def test_limits_are_in_the_files_of_version_1():
    with located(1) as location:
        limited(
            location,
            memory={"limit": 64 * MEBIBYTE, "reservation": 32 * MEBIBYTE, "swappiness": 5},
            cpu={"shares": 100, "quota": 50000, "period": 20000, "cpus": "0"},
            pids={"limit": 7},
        )
        assert value(location, "memory", "memory.limit_in_bytes") == str(64 * MEBIBYTE)
        assert value(location, "memory", "memory.soft_limit_in_bytes") == str(32 * MEBIBYTE)
        assert value(location, "memory", "memory.swappiness") == "5"
        assert value(location, "cpu", "cpu.shares") == "100"
        assert value(location, "cpu", "cpu.cfs_quota_us") == "50000"
        assert value(location, "cpu", "cpu.cfs_period_us") == "20000"
        assert value(location, "cpuset", "cpuset.cpus") == "0"
        assert value(location, "cpuset", "cpuset.mems")
        assert value(location, "pids", "pids.max") == "7"


def test_cpusets_begin_with_those_of_the_parent_all_the_way_down():
    with located(1) as location:
        apply.make(location, ())
        mount = location.mounts["cpuset"]
        for directory in (location.directories["cpuset"], *location.made):
            if directory.startswith(mount):
                assert read(directory, "cpuset.cpus") == read(mount, "cpuset.cpus")


def test_memory_with_swap_can_be_raised_and_lowered_in_one_step():
    if not has("memory", "memory.memsw.limit_in_bytes"):
        pytest.skip("this kernel does not account swap")
    with located(1) as location:
        present = limited(location, memory={"limit": 30 * MEBIBYTE, "swap": 50 * MEBIBYTE})
        for limit, both in ((60, 80), (20, 25), (100, 100)):
            change = resources(memory={"limit": limit * MEBIBYTE, "swap": both * MEBIBYTE})
            present = update(location, present, change)
            assert value(location, "memory", "memory.limit_in_bytes") == str(limit * MEBIBYTE)
            assert value(location, "memory", "memory.memsw.limit_in_bytes") == str(both * MEBIBYTE)
        unlimited = value(location, "memory", "memory.kmem.tcp.limit_in_bytes")
        update(location, present, resources(memory={"limit": -1}))
        assert value(location, "memory", "memory.limit_in_bytes") == unlimited
        assert value(location, "memory", "memory.memsw.limit_in_bytes") == unlimited


def test_quota_and_period_below_a_parent_s_quota_are_written_in_the_order_it_takes():
    """The period alone, with the old quota, would be more than the parent allows."""
    with located(1) as outer:
        limited(outer, cpu={"quota": 50000, "period": 100000})
        path = outer.directories["cpu"].removeprefix(outer.mounts["cpu"])
        with located(1, path=f"{path}/below") as location:
            present = limited(location, cpu={"quota": 50000, "period": 100000})
            change = resources(cpu={"quota": 5000, "period": 10000})
            update(location, present, change)
            assert value(location, "cpu", "cpu.cfs_period_us") == "10000"
            assert value(location, "cpu", "cpu.cfs_quota_us") == "5000"


def test_a_refused_change_leaves_the_limits_as_they_were():
    with located(1) as location:
        present = limited(location, pids={"limit": 7}, cpu={"shares": 100})
        with pytest.raises(LaunchError, match="the maximum allowed cpu-shares is 262144"):
            update(location, present, resources(cpu={"shares": 300000}, pids={"limit": 9}))
        assert value(location, "cpu", "cpu.shares") == "100"


def test_a_value_that_the_kernel_does_not_take_names_the_file():
    message = r"cannot set cpu limit: write '1' to .*/cpu.cfs_period_us"
    with located(1) as location, pytest.raises(LaunchError, match=message):
        limited(location, cpu={"period": 1})


@pytest.mark.parametrize(
    ("controller", "part"),
    [
        ("hugetlb", {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}),
        ("net_cls", {"network": {"classID": 7}}),
        ("rdma", {"rdma": {"mlx5_1": {"hcaHandles": 3}}}),
    ],
)
def test_a_limit_without_its_controller_names_it(controller, part):
    with located(1) as location:
        if controller in location.directories:
            pytest.skip(f"{controller} is mounted here")
        message = f"cannot set {controller} limit: container could not join or create cgroup"
        with pytest.raises(LaunchError, match=message) as caught:
            limited(location, **part)
        assert controller in caught.value.remedy


def test_a_limit_without_its_controller_names_it_on_version_2():
    with located(2) as location:
        if "memory" in read(location.mounts[""], "cgroup.controllers"):
            pytest.skip("version 2 has controllers here")
        with pytest.raises(LaunchError, match="cannot set memory limit") as caught:
            limited(location, memory={"limit": MEBIBYTE})
        assert 'controller "memory" not available' in caught.value.cause
        with pytest.raises(LaunchError, match="cannot set misc limit"):
            limited(location, unified={"misc.max": "res_a 1"})


def test_files_of_the_cgroup_itself_can_be_set_by_unified():
    with located(2) as location:
        limited(location, unified={"cgroup.max.depth": "3"})
        assert value(location, "", "cgroup.max.depth") == "3"


def test_a_rootless_container_does_without_cgroups_that_it_may_not_make():
    """As another user, without a path: only a named limit is then an error."""
    with located(1) as location:
        rootless = msgspec.structs.replace(location, rootless=True, named=False)
        wanted = settings(resources(pids={"limit": 5}), rootless)
        script = """
import msgspec, os, sys
from nestbox.errors import LaunchError
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_setting import Setting
from nestbox.runtime.cgroup import apply
location = msgspec.json.decode(sys.argv[1], type=CgroupLocation)
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
print(apply.make(location, ()).directories)
try:
    apply.make(location, msgspec.json.decode(sys.argv[2], type=list[Setting]))
except LaunchError as error:
    print(error.what)
"""
        arguments = [msgspec.json.encode(one).decode() for one in (rootless, wanted)]
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines() == [
            "{}",
            "cannot set pids limit: container could not join or create cgroup",
        ]


@pytest.mark.parametrize("version", [1, 2])
def test_statistics_have_the_form_of_runc(version):
    work = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo on; exec sleep 1000"
    with located(version) as location, process(work) as child:
        limited(location, **({"pids": {"limit": 9}} if version == 1 else {}))
        tree.enter(location, child.pid)
        begin(child)
        assert child.stdout.readline() == "on\n"
        found = msgspec.to_builtins(statistics(location))
        assert list(found)[:2] == ["cpu", "cpuset"]
        assert set(found) == {
            "cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt",
            "network_interfaces",
        }  # fmt: skip
        assert found["pids"]["current"] == 1
        assert found["pids"].get("limit", 0) == (9 if version == 1 else 0)
        assert {"kernel", "user"} <= set(found["cpu"]["usage"])
        if version == 1:
            assert found["cpu"]["usage"]["total"] > 0
            assert len(found["cpu"]["usage"]["percpu"]) >= 1
            assert found["cpuset"]["sched_load_balance"] == 1
            assert found["memory"]["usage"]["usage"] >= 0
            assert found["memory"]["raw"] == dict(sorted(found["memory"]["raw"].items()))


@pytest.mark.slow
def test_statistics_are_those_that_runc_tells(oci, bundle):
    """The same cgroup, read by runc and by us: the same members, as far as nothing moves."""
    runc = "/usr/sbin/runc"
    if not os.path.exists(runc):
        pytest.skip("runc is not installed")
    with located(1) as location:
        path = location.directories["pids"].removeprefix(location.mounts["pids"])
        bundle.linux["cgroupsPath"] = path
        bundle.linux["resources"] = {
            "memory": {"limit": 64 * MEBIBYTE},
            "pids": {"limit": 20},
            "cpu": {"quota": 50000, "period": 100000},
        }
        oci.command = runc
        name = oci.up(bundle)
        theirs = msgspec.json.decode(oci.call("events", "--stats", name).stdout)["data"]
        ours = msgspec.json.decode(msgspec.json.encode(statistics(location)))
        assert _shape(ours) == _shape(theirs)
        assert ours["cpuset"] == theirs["cpuset"]
        assert ours["pids"]["limit"] == theirs["pids"]["limit"] == 20
        assert ours["memory"]["usage"]["limit"] == theirs["memory"]["usage"]["limit"]


def _shape(found: object) -> object:
    if isinstance(found, dict):
        # What counts something of this moment may be 0, and then is left out.
        volatile = {
            "psi", "raw", "max", "usage", "throttling", "blkio", "intel_rdt",
            "network_interfaces",
        }  # fmt: skip
        return {key: _shape(one) for key, one in sorted(found.items()) if key not in volatile}
    return type(found).__name__


def test_statistics_of_a_cgroup_that_is_gone_are_an_error():
    with located(2) as location, pytest.raises(LaunchError, match="unable to get container cgroup"):
        statistics(location)


def test_running_out_of_memory_is_told_once_and_the_end_too(probe):
    script = f"echo on; {probe} memory 64; exit 0"
    with located(1) as location, process(script) as child:
        limited(location, memory={"limit": 16 * MEBIBYTE, "swap": 16 * MEBIBYTE})
        tree.enter(location, child.pid)
        with oom.OomEvents(location) as events:
            assert events.wait(0) is None
            begin(child)
            assert events.wait(20) == oom.OOM
            child.wait()
            assert oom.oom_kills(location) >= 1
            os.rmdir(location.directories["memory"])
            assert events.wait(20) == oom.ENDED


def test_events_need_a_memory_controller():
    with located(2) as location:
        apply.make(location, ())
        if os.path.exists(f"{location.main}/memory.events"):
            pytest.skip("version 2 has a memory controller here")
        with pytest.raises(LaunchError, match="cannot listen for out-of-memory events"):
            oom.OomEvents(location)
        assert oom.oom_kills(location) == 0
