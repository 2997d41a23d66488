"""Cgroups of whole containers, as an engine sees them; any runtime can be driven."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.root.oci.cgroups import directories_left, located, memberships, process

MEBIBYTE = 1 << 20


@pytest.fixture(params=[1, 2])
def place(request, bundle):
    """Give a place that the bundle names, in the version that this machine limits with."""
    version = request.param
    if (version == 2) != os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip(f"containers do not use cgroup v{version} here")
    with located(version) as location:
        key = "" if version == 2 else "pids"
        bundle.linux["cgroupsPath"] = location.directories[key].removeprefix(location.mounts[key])
        yield location


def text(place, controller: str, file: str) -> str:
    key = "" if place.version == 2 else controller
    return Path(place.directories[key], file).read_text().strip()


def test_a_container_is_limited_and_leaves_no_cgroup(oci, bundle, place):
    bundle.linux["resources"] |= {
        "memory": {"limit": 64 * MEBIBYTE},
        "pids": {"limit": 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
    }
    name = oci.up(bundle)
    found = memberships(oci.state(name)["pid"])
    path = bundle.linux["cgroupsPath"]
    assert all(found[key] == path for key in place.directories)
    assert text(place, "pids", "pids.max") == "20"
    assert text(place, "cpuset", "cpuset.cpus") == "0"
    oci.ok("delete", "--force", name)
    assert [one for one in directories_left(place) if one not in place.made] == []
    if oci.is_nestbox:
        assert directories_left(place) == []


def test_devices_are_denied_to_the_container_and_to_its_execs(oci, bundle, place):
    bundle.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]
    name = oci.up(bundle)
    for command in ("head -n 1 /dev/kmsg", "echo x >/dev/kmsg"):
        done = oci.exec(name, "sh", "-c", command)
        assert done.exit_code != 0
        assert "not permitted" in done.stderr
    assert oci.exec(name, "sh", "-c", "echo x >/dev/null").exit_code == 0


def test_an_allowed_device_is_allowed(oci, bundle, place):
    bundle.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]
    allowed = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"}
    bundle.linux["resources"]["devices"].append(allowed)
    name = oci.up(bundle)
    assert oci.exec(name, "sh", "-c", ": >/dev/kmsg").exit_code == 0
    assert oci.exec(name, "sh", "-c", ": </dev/kmsg").exit_code != 0


def test_a_cgroup_in_use_is_refused(oci, bundle, place):
    oci.up(bundle)
    done = oci.try_create(bundle, oci.new_id())
    assert done.exit_code != 0
    assert "container's cgroup is not empty" in done.stderr


def test_a_refused_creation_leaves_the_other_container_alone(oci, bundle, place):
    first = oci.up(bundle)
    oci.try_create(bundle, oci.new_id())
    assert oci.status(first) == "running"


def test_unified_names_no_file_elsewhere(oci, bundle, place):
    bundle.linux["resources"]["unified"] = {"../pids.max": "1"}
    done = oci.try_create(bundle, oci.new_id())
    assert done.exit_code != 0
    assert directories_left(place) == []


def test_an_update_is_in_the_files_and_stays(oci, bundle, place):
    bundle.linux["resources"]["pids"] = {"limit": 20}
    name = oci.up(bundle)
    oci.ok("update", "--pids-limit", "10", name)
    assert text(place, "pids", "pids.max") == "10"
    resources = json.dumps({"cpu": {"shares": 200}, "pids": {"limit": -1}}).encode()
    oci.ok("update", "--resources", "-", name, input=resources)
    assert text(place, "pids", "pids.max") == "max"
    # What is changed alone keeps what was changed before.
    oci.ok("update", "--cpu-quota", "60000", "--cpu-period", "100000", name)
    oci.ok("update", "--cpu-quota", "70000", name)
    if place.version == 1:
        assert text(place, "cpu", "cpu.shares") == "200"
        assert text(place, "cpu", "cpu.cfs_quota_us") == "70000"
        assert text(place, "cpu", "cpu.cfs_period_us") == "100000"
    else:
        assert text(place, "cpu", "cpu.max") == "70000 100000"


def test_statistics_are_one_line_of_json(oci, bundle, place):
    bundle.linux["resources"]["pids"] = {"limit": 20}
    name = oci.up(bundle)
    (line,) = oci.ok("events", "--stats", name).stdout.splitlines()
    found = json.loads(line)
    assert list(found) == ["type", "id", "data"]
    assert (found["type"], found["id"]) == ("stats", name)
    assert found["data"]["pids"]["limit"] == 20


def test_an_exec_goes_to_the_sub_cgroup_that_it_names(oci, bundle, place):
    name = oci.up(bundle)
    key = "" if place.version == 2 else "freezer"
    os.mkdir(f"{place.directories[key]}/sub")
    argument = "sub" if place.version == 2 else "freezer:sub"
    done = oci.exec(name, "cat", "/proc/self/cgroup", flags=("--cgroup", argument))
    assert done.exit_code == 0, done.stderr
    assert f"{bundle.linux['cgroupsPath']}/sub" in done.stdout
    for bad in ("../other", "freezer:../other", "none:sub"):
        done = oci.exec(name, "true", flags=("--cgroup", bad))
        assert done.exit_code != 0


def test_a_cgroup_that_a_neighbour_shares_a_parent_with_survives(oci, bundle, place):
    with process() as child:
        parent = os.path.dirname(place.main)
        os.makedirs(f"{parent}/neighbour")
        try:
            name = oci.up(bundle)
            oci.ok("delete", "--force", name)
            assert os.path.isdir(f"{parent}/neighbour")
        finally:
            os.rmdir(f"{parent}/neighbour")
            assert child.poll() is None
