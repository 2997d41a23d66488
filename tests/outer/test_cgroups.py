"""Our own place in the cgroup hierarchies, from what the kernel documents and from this machine."""

from __future__ import annotations

import os

import pytest

from nestbox.outer.cgroups import (
    directory_of,
    mode_of,
    observe_above,
    observe_cgroup,
    v1_controllers,
)
from nestbox.outer.facts import CgroupMode, Mount
from nestbox.outer.sources import Sources


def _mount(root, target, fstype="cgroup2", super_options=("rw",)):
    return Mount(
        id=1,
        parent=0,
        device="0:1",
        root=root,
        target=target,
        options=("rw",),
        propagation=(),
        fstype=fstype,
        source="cgroup",
        super_options=super_options,
    )


@pytest.mark.parametrize(
    ("root", "path", "directory"),
    [
        ("/", "/", "/sys/fs/cgroup"),
        ("/", "/user.slice/job", "/sys/fs/cgroup/user.slice/job"),
        # a container of docker on version 1: the mount shows its own cgroup only
        ("/docker/0123", "/docker/0123", "/sys/fs/cgroup"),
        ("/docker/0123", "/docker/0123/inner", "/sys/fs/cgroup/inner"),
        ("/docker/0123", "/docker/01234", None),
        ("/docker/0123", "/", None),
        # a mount from outside our cgroup namespace, and a cgroup outside its root
        ("/..", "/", None),
        ("/", "/../other", None),
    ],
)
def test_our_own_directory_takes_the_root_of_the_mount_into_account(root, path, directory):
    assert directory_of(_mount(root, "/sys/fs/cgroup"), path) == directory


def test_controllers_of_version_1_are_the_options_that_name_one():
    options = ("rw", "xattr", "release_agent=/lib/agent", "name=systemd")
    assert v1_controllers(_mount("/", "/x", "cgroup", options)) == ("name=systemd",)
    options = ("rw", "cpu", "cpuacct", "clone_children")
    assert v1_controllers(_mount("/", "/x", "cgroup", options)) == ("cpu", "cpuacct")


@pytest.mark.parametrize(
    ("versions", "mode"),
    [
        (set(), CgroupMode.NONE),
        ({1}, CgroupMode.V1),
        ({2}, CgroupMode.V2),
        ({1, 2}, CgroupMode.HYBRID),
    ],
)
def test_the_mode_follows_from_the_versions_that_are_mounted(versions, mode):
    assert mode_of(frozenset(versions)) is mode


def _cgroup(directory, enabled, processes="", root=False):
    directory.mkdir(exist_ok=True)
    (directory / "cgroup.controllers").write_text("cpu memory pids\n")
    (directory / "cgroup.subtree_control").write_text(enabled)
    (directory / "cgroup.procs").write_text(processes)
    if not root:
        (directory / "cgroup.type").write_text("domain\n")
    return directory


def test_the_cgroups_above_our_own_are_seen_nearest_first_up_to_the_mount(tmp_path):
    top = _cgroup(tmp_path, "memory\n", "1\n", root=True)
    busy = _cgroup(top / "busy", "", "7\n")
    free = _cgroup(busy / "free", "memory pids\n")
    found = observe_above(_mount("/", str(top)), str(free / "own"))
    assert [(one.directory, one.enabled, one.takes_controllers) for one in found] == [
        (str(free), ("memory", "pids"), True),
        (str(busy), (), False),
        (str(top), ("memory",), True),
    ]
    assert observe_above(_mount("/", str(top)), str(top)) == ()


def test_above_a_cgroup_with_every_limit_nothing_is_looked_at(tmp_path):
    full = _cgroup(_cgroup(tmp_path, "", root=True) / "full", "cpu memory pids\n")
    (one,) = observe_above(_mount("/", str(tmp_path)), str(full / "own"))
    assert one.directory == str(full)


def test_this_process_is_listed_in_every_cgroup_that_is_found():
    cgroup = observe_cgroup(Sources())
    for hierarchy in cgroup.hierarchies:
        if hierarchy.directory is None:
            continue
        with open(f"{hierarchy.directory}/cgroup.procs") as processes:
            assert str(os.getpid()) in processes.read().split(), hierarchy.mountpoint
        if hierarchy.version == 2:
            assert hierarchy.processes is not None
            assert hierarchy.processes >= 1


def test_no_hierarchy_is_found_twice():
    hierarchies = observe_cgroup(Sources()).hierarchies
    named = [hierarchy.controllers for hierarchy in hierarchies if hierarchy.version == 1]
    assert len(set(named)) == len(named)
    assert sum(hierarchy.version == 2 for hierarchy in hierarchies) <= 1
