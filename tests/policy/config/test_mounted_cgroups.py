"""A mount of type cgroup on each kind of machine, with and without a cgroup namespace."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.oci.config import Config
from nestbox.outer.facts import Cgroup, CgroupMode, OuterEnvironment
from nestbox.policy.config.cgroup_location import CgroupLocation
from tests.policy.config.cases import decide, launch, mount_at, namespaces, spec, with_user
from tests.policy.surroundings import above, change, full_root, hierarchy, v2

ALL = ("pid", "network", "ipc", "uts", "mount")
RO = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
RW = {**RO, "options": ["nosuid"]}


def config(mount: dict[str, object], *more: str) -> Config:
    return spec(mounts=[mount], linux__namespaces=namespaces(*ALL, *more))


def version_1() -> OuterEnvironment:
    return change(
        full_root(),
        cgroup=Cgroup(
            mode=CgroupMode.HYBRID,
            hierarchies=(
                hierarchy("cpu", "cpuacct"),
                hierarchy("memory"),
                hierarchy("name=systemd", mountpoint="/sys/fs/cgroup/systemd"),
                hierarchy("pids", directory=None),
                hierarchy(version=2, mountpoint="/sys/fs/cgroup/unified"),
            ),
        ),
    )


def test_version_2_is_one_mount() -> None:
    (mount,) = launch(config(RO, "cgroup")).mounts
    assert (mount.fstype, mount.attributes) == ("cgroup2", ("ro",))
    assert launch(config(RO, "cgroup")).final_mounts == ()


def test_version_2_in_a_user_namespace_without_a_cgroup_namespace_is_bound() -> None:
    user = with_user(mounts=[RO], linux__namespaces=namespaces("user", *ALL))
    resolution = decide(user)
    assert resolution.launch is not None
    (mount,) = resolution.launch.mounts
    assert (mount.fstype, mount.source) == ("bind", "/sys/fs/cgroup")
    assert resolution.warnings == ()
    own = CgroupLocation(version=2, directories={"": "/sys/fs/cgroup/job/box"})
    assert launch(user, cgroups=own).mounts[0].source == "/sys/fs/cgroup/job/box"


def test_version_2_of_others_is_never_writable() -> None:
    user = with_user(mounts=[RW], linux__namespaces=namespaces("user", *ALL))
    resolution = decide(user)
    assert resolution.launch is not None
    assert "ro" in resolution.launch.mounts[0].attributes
    assert len(resolution.warnings) == 1
    own = CgroupLocation(version=2, directories={"": "/sys/fs/cgroup/job/box"})
    assert "ro" not in launch(user, cgroups=own).mounts[0].attributes


def test_version_2_with_a_cgroup_namespace_of_the_user_namespace_is_mounted() -> None:
    user = with_user(mounts=[RO], linux__namespaces=namespaces("user", "cgroup", *ALL))
    assert launch(user).mounts[0].fstype == "cgroup2"


def test_version_1_is_a_directory_with_one_mount_for_each_hierarchy() -> None:
    found = launch(config(RO, "cgroup"), version_1())
    top = mount_at(found, "/sys/fs/cgroup")
    assert (top.fstype, "ro" in top.attributes) == ("tmpfs", False)
    cpu = mount_at(found, "/sys/fs/cgroup/cpu,cpuacct")
    assert (cpu.fstype, cpu.options) == ("cgroup", (("cpu", ""), ("cpuacct", "")))
    assert "ro" in cpu.attributes
    assert mount_at(found, "/sys/fs/cgroup/systemd").options == (("name", "systemd"),)
    links = [(x.target, x.source) for x in found.mounts if x.fstype == "link"]
    assert links == [
        ("/sys/fs/cgroup/cpu", "cpu,cpuacct"),
        ("/sys/fs/cgroup/cpuacct", "cpu,cpuacct"),
    ]
    assert [(x.target, x.attributes[-1]) for x in found.final_mounts] == [("/sys/fs/cgroup", "ro")]
    assert not any("unified" in x.target for x in found.mounts)


def test_version_1_without_a_cgroup_namespace_shows_the_own_cgroup_alone() -> None:
    own = CgroupLocation(
        version=1,
        directories={"cpu": "/sys/fs/cgroup/cpu,cpuacct/job/box", "memory": "/cg/memory/box"},
    )
    found = launch(config(RW), version_1(), cgroups=own)
    cpu = mount_at(found, "/sys/fs/cgroup/cpu,cpuacct")
    assert (cpu.fstype, cpu.source) == ("bind", "/sys/fs/cgroup/cpu,cpuacct/job/box")
    assert (cpu.recursive, cpu.propagation) == (True, "slave")
    assert mount_at(found, "/sys/fs/cgroup/memory").source == "/cg/memory/box"
    # Where the container has no cgroup of its own it is in the runtime's; one out of sight is none.
    assert mount_at(found, "/sys/fs/cgroup/systemd").source == "/sys/fs/cgroup/systemd/job"
    assert not any(x.target.endswith("/pids") for x in found.mounts)
    assert found.final_mounts == ()


def test_version_1_where_no_cgroup_can_be_made_shows_the_runtimes_own() -> None:
    own = CgroupLocation(version=1, rootless=True, directories={"memory": "/cg/memory/box"})
    outer = change(
        full_root(),
        cgroup=Cgroup(mode=CgroupMode.V1, hierarchies=(hierarchy("memory", writable=False),)),
    )
    found = launch(config(RW), outer, cgroups=own)
    assert mount_at(found, "/sys/fs/cgroup/memory").source == "/sys/fs/cgroup/memory/job"


@pytest.mark.parametrize(
    ("directory", "fields", "named", "made"),
    [
        ("/sys/fs/cgroup/job/box", {"writable": True}, False, True),
        ("/sys/fs/cgroup/job/box", {"writable": False}, True, True),
        ("/sys/fs/cgroup/job/box", {"writable": False}, False, False),
        ("/sys/fs/cgroup/box", {"above": (above("/sys/fs/cgroup"),)}, False, True),
        ("/sys/fs/cgroup/box", {"above": (above("/sys/fs/cgroup", writable=False),)}, False, False),
    ],
)
def test_version_2_shows_a_rootless_container_its_cgroup_if_it_gets_one(
    directory: str, fields: dict[str, Any], named: bool, made: bool
) -> None:
    user = with_user(mounts=[RO], linux__namespaces=namespaces("user", *ALL))
    own = CgroupLocation(version=2, rootless=True, named=named, directories={"": directory})
    found = launch(user, change(full_root(), cgroup=v2(**fields)), cgroups=own)
    assert found.mounts[0].source == (directory if made else "/sys/fs/cgroup")


def test_without_cgroups_the_mount_is_left_out_with_a_warning() -> None:
    none = change(full_root(), cgroup=Cgroup(mode=CgroupMode.NONE, hierarchies=()))
    resolution = decide(config(RO), none)
    assert resolution.launch is not None
    assert resolution.launch.mounts == ()
    assert len(resolution.warnings) == 1
    strict = msgspec.structs.replace(config(RO), annotations={"org.nestbox.strict": "true"})
    assert decide(strict, none).launch is None
