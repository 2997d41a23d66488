"""The cgroup of a further process, when the container has moved its first one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.root.oci.cgroups import located


@pytest.fixture
def own(bundle):
    """Give the cgroup that the bundle names, as it will be."""
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("containers do not use cgroup v2 here")
    with located(2) as place:
        bundle.linux["cgroupsPath"] = place.main.removeprefix(place.mounts[""])
        yield Path(place.main)


def cgroup_of_exec(oci, name, *flags: str) -> str:
    done = oci.exec(name, "cat", "/proc/self/cgroup", flags=flags)
    assert done.exit_code == 0, done.stderr
    return os.path.basename(done.stdout.strip())


def test_a_process_is_put_beside_the_first_one_only_where_it_must(oci, bundle, own):
    name = oci.up(bundle)
    (own / "first").mkdir()
    (own / "first/cgroup.procs").write_text(str(oci.state(name)["pid"]))
    assert cgroup_of_exec(oci, name) == own.name
    (own / "cgroup.subtree_control").write_text("+pids")
    assert cgroup_of_exec(oci, name) == "first"
    assert cgroup_of_exec(oci, name, "--cgroup", "first") == "first"
    done = oci.exec(name, "true", flags=("--cgroup", "/"))
    assert done.exit_code != 0
    assert " adding pid " in done.stderr
    assert " to cgroups" in done.stderr
    assert "device or resource busy" in done.stderr


def test_a_process_follows_the_first_one_out_of_a_removed_cgroup(oci, bundle, own):
    name = oci.up(bundle)
    other = own.parent / "other"
    other.mkdir()
    (other / "cgroup.procs").write_text(str(oci.state(name)["pid"]))
    own.rmdir()
    assert cgroup_of_exec(oci, name) == "other"
    oci.ok("delete", "--force", name)
    other.rmdir()
