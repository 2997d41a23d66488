"""Our own place in the cgroup hierarchies, from what the kernel documents and from this machine."""

from __future__ import annotations

import os

import msgspec
import pytest

from nestbox.outer.cgroup_details import observe_details, room_below
from nestbox.outer.cgroup_manager import observe_manager
from nestbox.outer.cgroups import (
    directory_of,
    mode_of,
    observe_above,
    observe_cgroup,
    v1_controllers,
)
from nestbox.outer.facts import CgroupManager, CgroupMode, CgroupRoom, Mount
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


def test_the_root_of_the_hierarchy_has_no_type_and_others_the_kernels(tmp_path):
    top = _cgroup(tmp_path, "", root=True)
    own = _cgroup(top / "own", "", "7\n0\n0\n")
    details = observe_details(str(own), str(top))
    assert (details["kind"], details["processes"], details["unseen"]) == ("domain", 3, 2)
    assert details["owner"] == os.getuid()
    assert observe_details(str(top), str(top))["kind"] == ""


def test_a_file_that_a_delegate_needs_and_cannot_write_is_named(tmp_path):
    own = _cgroup(tmp_path / "own", "")
    (own / "cgroup.procs").unlink()
    assert observe_details(str(own), str(tmp_path))["closed"] == ("cgroup.procs",)


def test_a_mark_of_delegation_is_seen(tmp_path):
    own = _cgroup(tmp_path / "own", "")
    assert not observe_details(str(own), str(tmp_path))["delegated"]
    try:
        os.setxattr(own, "user.delegate", b"1")
    except OSError as error:
        pytest.skip(f"{tmp_path}: {error.strerror}")
    assert observe_details(str(own), str(tmp_path))["delegated"]


def test_what_a_systemd_divides_is_told_by_where_that_is_itself(tmp_path):
    own = _cgroup(tmp_path / "own", "")
    assert not observe_details(str(own), str(tmp_path))["managed"]
    (own / "init.scope").mkdir()
    assert observe_details(str(own), str(tmp_path))["managed"]


def _limit(directory, descendants="max", depth="max", used=0):
    (directory / "cgroup.max.descendants").write_text(f"{descendants}\n")
    (directory / "cgroup.max.depth").write_text(f"{depth}\n")
    (directory / "cgroup.stat").write_text(f"nr_descendants {used}\nnr_dying_descendants 0\n")


def test_room_is_what_the_tightest_cgroup_above_leaves(tmp_path):
    top = _cgroup(tmp_path, "", root=True)
    middle, own = top / "middle", top / "middle/own"
    for directory in (middle, own):
        _limit(_cgroup(directory, ""))
    assert room_below(str(own), str(top)) == CgroupRoom()
    _limit(own, descendants=9, used=2)
    _limit(middle, descendants=4, used=3)
    assert room_below(str(own), str(top)) == CgroupRoom(
        count=1, file=f"{middle}/cgroup.max.descendants"
    )
    _limit(middle, depth=2)
    assert room_below(str(own), str(top)).count == 7
    _limit(middle, depth=1)
    assert room_below(str(own), str(top)) == CgroupRoom(count=0, file=f"{middle}/cgroup.max.depth")


def test_a_threaded_cgroup_above_is_no_place_for_a_container(tmp_path):
    top = _cgroup(tmp_path, "", root=True)
    threaded = _cgroup(top / "threaded", "pids\n")
    (threaded / "cgroup.type").write_text("threaded\n")
    found = observe_above(_mount("/", str(top)), str(threaded / "own"))
    assert [one.writable for one in found] == [False, True]


def test_a_mount_that_another_one_covers_is_not_looked_at(tmp_path):
    """What lies over it can be anything, a file system that never answers among others."""
    lower = msgspec.structs.replace(_mount("/", str(tmp_path)), id=2, parent=1)
    root = msgspec.structs.replace(_mount("/", "/", "ext4"), id=1, parent=0)
    upper = msgspec.structs.replace(_mount("/", str(tmp_path), "fuse"), id=3, parent=2)
    sources = Sources()
    sources.__dict__["mounts"] = (root, lower, upper)
    assert observe_cgroup(sources).mode is CgroupMode.NONE
    assert observe_cgroup(sources).hierarchies == ()
    sources.__dict__["mounts"] = (lower, upper)  # as after chroot(2), without the root
    assert observe_cgroup(sources).mode is CgroupMode.NONE
    for mounts in ((root, lower), (lower,)):
        sources.__dict__["mounts"] = mounts
        assert observe_cgroup(sources).mode is CgroupMode.V2


def test_the_systemd_of_a_user_is_seen_by_its_bus_and_its_cgroup(tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    variables = {"XDG_RUNTIME_DIR": str(runtime)}
    own = tmp_path / "user.slice/user-7.slice/user@7.service"
    (own / "init.scope").mkdir(parents=True)
    (own / "init.scope/cgroup.procs").write_text(f"{os.getpid()}\n")
    (own / "cgroup.controllers").write_text("memory pids\n")
    assert observe_manager(str(tmp_path), variables, uid=7) is None  # no bus
    (runtime / "bus").touch()
    found = observe_manager(str(tmp_path), variables, uid=7)
    assert found == CgroupManager(directory=str(own), controllers=("memory", "pids"))
    variables = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus"}
    assert observe_manager(str(tmp_path), variables, uid=7) == found
    assert observe_manager(str(tmp_path), variables, uid=8) is None
    (own / "init.scope/cgroup.procs").write_text("0\n")  # of another pid namespace
    assert observe_manager(str(tmp_path), variables, uid=7) is None
