"""New file systems: their options, where they may lie, and what becomes read-only at the end."""

from __future__ import annotations

from typing import Any

import pytest

from nestbox.errors import UsageError
from nestbox.outer.bundle_facts import SourceFacts
from nestbox.policy.decision import Outcome
from nestbox.policy.launch_spec import MountSpec
from tests.policy.config.cases import (
    bind,
    decide,
    equipped,
    launch,
    mount_at,
    mounts,
    namespaces,
    spec,
    with_user,
)
from tests.policy.surroundings import change, full_root, mount, reference_machine


def one(kind: str, target: str, *options: str, source: str = "none") -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": [*options]}


def made(kind: str, target: str, *options: str, **given: Any) -> MountSpec:
    return mount_at(launch(spec(mounts=[one(kind, target, *options)]), **given), target)


def test_words_that_no_table_has_go_to_the_file_system() -> None:
    found = made("tmpfs", "/t", "nosuid", "size=64k", "huge=never,nr_inodes=9", "inode64")
    assert found.attributes == ("nosuid",)
    assert found.options == (
        ("size", "64k"),
        ("huge", "never"),
        ("nr_inodes", "9"),
        ("inode64", ""),
    )


def test_an_option_with_commas_of_its_own_is_one() -> None:
    found = made("overlay", "/o", "lowerdir=/a,b:/c", 'context="u:r:t:s0:c1,c2"')
    assert found.options == (("lowerdir", "/a,b:/c"), ("context", '"u:r:t:s0:c1,c2"'))


def test_flags_of_the_file_system_are_passed_by_name_where_it_knows_them() -> None:
    found = made("ext4", "/e", "sync", "silent", "lazytime", "nolazytime", "defaults")
    assert found.options == (("sync", ""),)


def test_a_disk_that_is_read_only_is_opened_so() -> None:
    found = made("ext4", "/e", "ro")
    assert (found.attributes, found.options) == (("ro",), (("ro", ""),))
    assert made("overlay", "/o", "ro").options == ()


def test_a_tmpfs_looks_as_what_it_covers_unless_told() -> None:
    assert made("tmpfs", "/t", "size=1k").inherit_mode
    assert not made("tmpfs", "/t", "size=1k,mode=700").inherit_mode
    assert not made("ramfs", "/t").inherit_mode


def test_copy_up_is_for_a_tmpfs() -> None:
    assert made("tmpfs", "/t", "tmpcopyup").copy_up
    assert not made("ramfs", "/t", "tmpcopyup").copy_up


def test_what_gets_targets_inside_becomes_read_only_at_the_end() -> None:
    config = spec(
        mounts=[
            one("tmpfs", "/run", "nosuid", "ro"),
            one("tmpfs", "/dev", "nosuid", "ro"),
            one("devtmpfs", "/other", "ro"),
        ]
    )
    found = launch(config)
    assert [x.attributes for x in found.mounts] == [("nosuid",), ("nosuid",), ("ro",)]
    assert [(x.fstype, x.target, x.attributes) for x in found.final_mounts] == [
        ("remount", "/run", ("nosuid", "ro")),
        ("remount", "/dev", ("nosuid", "ro")),
    ]


def test_a_bind_of_dev_is_read_only_at_once() -> None:
    found = launch(spec(mounts=[bind("/dev", "/dev", "ro")]))
    assert "ro" in found.mounts[0].attributes
    assert found.final_mounts == ()


def test_links_lead_to_no_target_that_others_rely_upon() -> None:
    found = {x.target: x.follow_links for x in launch(spec()).mounts}
    assert [target for target, follows in found.items() if not follows] == ["/proc", "/dev", "/sys"]


@pytest.mark.parametrize("target", ["/", "//", "/a/..", "."])
def test_nothing_is_mounted_on_the_root(target: str) -> None:
    with pytest.raises(UsageError, match="on the top of rootfs"):
        launch(spec(mounts=[one("tmpfs", target)]))


@pytest.mark.parametrize("target", ["/proc", "/sys/../proc/", "proc"])
def test_on_proc_there_is_only_a_proc(target: str) -> None:
    with pytest.raises(
        UsageError, match='"/proc" cannot be mounted because it is not of type proc'
    ):
        launch(spec(mounts=[one("tmpfs", target)]))
    with pytest.raises(
        UsageError, match='"/proc" cannot be mounted because it is not of type proc'
    ):
        launch(spec(mounts=[bind("/src", target)]))


def test_a_proc_may_be_bound_on_proc() -> None:
    config = spec(mounts=[bind("/proc", "/proc", "rbind")])
    found = launch(config, sources={"/proc": SourceFacts(proc=True, proc_root=True)})
    assert found.mounts[0].on_proc


@pytest.mark.parametrize(
    "target", ["/proc/self/attr", "/proc/sys", "/proc/1", "/proc/cpuinfo/x", "/proc/net/dev"]
)
def test_inside_proc_there_is_nothing_else(target: str) -> None:
    for asked in (one("tmpfs", target), bind("/src", target), one("proc", target)):
        with pytest.raises(UsageError, match="cannot be mounted because it is inside /proc"):
            launch(spec(mounts=[asked]))


@pytest.mark.parametrize("name", ["cpuinfo", "meminfo", "uptime", "sys/kernel/ns_last_pid"])
def test_inside_proc_lxcfs_may_show_its_files(name: str) -> None:
    found = launch(spec(mounts=mounts(bind("/var/lib/lxcfs/x", f"/proc/{name}"))))
    assert found.mounts[-1].on_proc


def test_an_id_that_the_user_namespace_lacks_is_told() -> None:
    assert mount_at(launch(with_user()), "/dev/pts").options[-1] == ("gid", "5")
    few = [{"containerID": 0, "hostID": 100000, "size": 5}]
    with pytest.raises(UsageError, match="cannot specify gid=5 mount option"):
        launch(with_user(linux__gidMappings=few))


def test_a_label_is_given_to_new_file_systems_where_selinux_is_active() -> None:
    config = spec(linux__mountLabel="system_u:object_r:container_file_t:s0")
    found = launch(config, equipped(full_root()))
    labelled = {x.target for x in found.mounts if x.label}
    assert labelled == {"/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}
    resolution = decide(config)
    assert resolution.launch is not None
    assert not any(x.label for x in resolution.launch.mounts)
    assert any("mount-label" in line for line in resolution.warnings)


def test_the_notify_socket_is_bound_after_all_others() -> None:
    found = launch(spec(), options={"notify_socket": "/run/state/box/notify/notify.sock"})
    last = found.mounts[-1]
    assert (last.source, last.target) == ("/run/state/box/notify", "/run/notify")
    assert "ro" in last.attributes
    assert "NOTIFY_SOCKET=/run/notify/notify.sock" in found.process.environment


OVER_PROC = (
    mount(1, 0, "/", "ext4"),
    mount(2, 1, "/proc", "proc"),
    mount(3, 2, "/proc/kcore", "tmpfs"),
    mount(4, 1, "/sys", "sysfs"),
)


def test_a_user_namespace_gets_a_new_proc_where_the_outer_one_is_whole() -> None:
    assert mount_at(launch(with_user()), "/proc").fstype == "proc"


def test_a_covered_proc_refuses_a_pid_namespace_its_own_and_names_what_covers() -> None:
    resolution = decide(with_user(), change(full_root(), mounts=OVER_PROC))
    assert resolution.launch is None
    (refused,) = resolution.refused
    assert refused.subject == "mount /proc"
    assert "/proc/kcore" in refused.cause


def test_without_a_pid_namespace_the_outer_proc_is_bound() -> None:
    config = with_user(
        linux__namespaces=namespaces("user", "network", "ipc", "uts", "mount", "cgroup")
    )
    resolution = decide(config, change(full_root(), mounts=OVER_PROC))
    assert resolution.launch is not None
    found = mount_at(resolution.launch, "/proc")
    assert (found.fstype, found.source, found.recursive) == ("bind", "/proc", True)
    assert resolution.warnings == ()


SHARED_NETWORK = namespaces("user", "pid", "ipc", "uts", "mount", "cgroup")


def test_a_sysfs_of_a_foreign_network_is_a_bind_of_the_outer_one() -> None:
    resolution = decide(with_user(linux__namespaces=SHARED_NETWORK))
    assert resolution.launch is not None
    found = mount_at(resolution.launch, "/sys")
    assert (found.fstype, found.source) == ("bind", "/sys")
    assert "ro" in found.attributes
    assert resolution.warnings == ()


def test_a_writable_sysfs_is_weakened_there_with_a_warning() -> None:
    config = with_user(linux__namespaces=SHARED_NETWORK, mounts=[one("sysfs", "/sys", "rw")])
    resolution = decide(config)
    (decision,) = resolution.weakened
    assert decision.subject == "mount /sys"
    assert decision.outcome is Outcome.WEAKENED
    assert any("mount /sys" in line for line in resolution.warnings)


def test_a_network_namespace_shared_in_the_first_user_namespace_has_a_sysfs() -> None:
    config = spec(linux__namespaces=namespaces("pid", "ipc", "uts", "mount"))
    assert mount_at(launch(config, reference_machine()), "/sys").fstype == "sysfs"
