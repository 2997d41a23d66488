"""The mounts that every container gets, and the ladders of /proc, /sys and the cgroups."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.outer.facts import Cgroup, CgroupMode, OuterEnvironment
from nestbox.policy.decision import Intent, Outcome
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.mounts import MountChoice, Setting, decide_mounts
from nestbox.policy.network import NetworkChoice
from nestbox.policy.profile import Choice
from nestbox.policy.request import SecurityOptions
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import (
    ask,
    change,
    full_root,
    mount,
    reference_machine,
)

TREE = (
    mount(1, 0, "/", "overlay"),
    mount(2, 1, "/proc", "proc"),
    mount(3, 1, "/sys", "sysfs", options=("ro",)),
    mount(4, 3, "/sys/fs/cgroup", "cgroup2"),
    mount(5, 2, "/proc/sys/fs/binfmt_misc", "binfmt_misc"),
)


def choose(
    environment: OuterEnvironment | None = None,
    profile: str = "default",
    *,
    user: bool = False,
    own_network: bool = True,
    nodev: bool = True,
    tty_group: bool = True,
    changes: dict[str, Any] | None = None,
    **fields: Any,
) -> MountChoice:
    chosen = load_shipped(profile)
    assert chosen is not None
    setting = Setting(
        new_user_namespace=user,
        network=NetworkChoice(own=own_network, loopback=own_network, decisions=()),
        dev_nodev=nodev,
        tty_group=tty_group,
    )
    return decide_mounts(
        ask(**fields),
        msgspec.structs.replace(chosen, **(changes or {})),
        environment or full_root(),
        setting,
    )


def by_target(choice: MountChoice) -> dict[str, MountSpec]:
    return {spec.target: spec for spec in choice.mounts}


def outcome(choice: MountChoice, subject: str) -> Outcome:
    return next(one.outcome for one in choice.decisions if one.subject == subject)


def test_parents_are_mounted_before_what_is_on_them() -> None:
    assert [spec.target for spec in choose().mounts] == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
        "/sys/fs/cgroup",
    ]


def test_terminals_can_be_opened_and_made_nodes_too() -> None:
    assert "nodev" not in by_target(choose())["/dev/pts"].attributes
    assert "nodev" in by_target(choose())["/dev"].attributes
    assert "nodev" not in by_target(choose(nodev=False))["/dev"].attributes


def test_every_other_mount_is_closed_to_devices_and_set_id_programs() -> None:
    for target, spec in by_target(choose()).items():
        assert "nosuid" in spec.attributes
        assert "nodev" in spec.attributes or target == "/dev/pts"


def test_the_tty_group_is_given_only_where_it_exists() -> None:
    assert ("gid", "5") in by_target(choose())["/dev/pts"].options
    assert ("gid", "5") not in by_target(choose(tty_group=False))["/dev/pts"].options


def test_shared_memory_has_the_size_that_was_asked_for() -> None:
    assert ("size", "67108864") in by_target(choose())["/dev/shm"].options
    assert ("size", "4096") in by_target(choose(shm_bytes=4096))["/dev/shm"].options


def test_proc_is_fresh_where_nothing_is_hidden() -> None:
    tree = change(full_root(), mounts=TREE)
    choice = choose(tree, user=True)
    assert by_target(choice)["/proc"].fstype == "proc"
    assert choice.own_pid


def test_masks_on_the_outer_proc_make_a_user_namespace_share_the_pid_namespace() -> None:
    masked = (
        *TREE,
        mount(6, 2, "/proc/kcore", "tmpfs"),
        mount(7, 2, "/proc/sys", "proc", root="/sys"),
    )
    choice = choose(change(full_root(), mounts=masked), user=True)
    spec = by_target(choice)["/proc"]
    assert (spec.fstype, spec.source, spec.recursive) == ("bind", "/proc", True)
    assert not choice.own_pid
    assert outcome(choice, "mount /proc") is Outcome.WEAKENED
    assert outcome(choice, "pid-namespace") is Outcome.WEAKENED
    assert "/proc/kcore" in choice.decisions[0].cause
    assert choose(change(full_root(), mounts=masked)).own_pid


def test_what_is_mounted_on_a_tmpfs_of_sysfs_hides_nothing_of_it() -> None:
    deeper = (*TREE, mount(6, 4, "/sys/fs/cgroup/memory", "cgroup"))
    assert (
        by_target(choose(change(full_root(), mounts=deeper), user=True))["/sys"].fstype == "sysfs"
    )
    covered = (*TREE, mount(6, 3, "/sys/firmware", "tmpfs"))
    choice = choose(change(full_root(), mounts=covered), user=True)
    assert by_target(choice)["/sys"].fstype == "bind"


def test_a_whole_proc_elsewhere_is_enough_for_a_fresh_one() -> None:
    masked = (*TREE, mount(6, 2, "/proc/kcore", "tmpfs"))
    assert not choose(change(full_root(), mounts=masked), user=True).own_pid
    elsewhere = (*masked, mount(7, 1, "/mnt/proc", "proc"))
    assert choose(change(full_root(), mounts=elsewhere), user=True).own_pid


def test_a_strict_profile_refuses_to_step_down() -> None:
    masked = (*TREE, mount(6, 2, "/proc/kcore", "tmpfs"))
    strict = {"proc": Choice(want="fresh", policy=Intent.STRICT)}
    choice = choose(change(full_root(), mounts=masked), user=True, changes=strict)
    assert outcome(choice, "mount /proc") is Outcome.REFUSED


def test_sysfs_is_read_only_unless_privileged() -> None:
    assert "ro" in by_target(choose())["/sys"].attributes
    assert "ro" not in by_target(choose(profile="privileged"))["/sys"].attributes


def test_sysfs_of_a_shared_network_is_bound_in_a_user_namespace() -> None:
    shared = choose(user=True, own_network=False)
    assert by_target(shared)["/sys"].fstype == "bind"
    assert outcome(shared, "mount /sys") is Outcome.GRANTED
    privileged = choose(user=True, own_network=False, profile="privileged")
    assert outcome(privileged, "mount /sys") is Outcome.WEAKENED
    assert by_target(choose(own_network=False))["/sys"].fstype == "sysfs"


def test_a_read_only_outer_sysfs_stays_so_in_a_user_namespace() -> None:
    choice = choose(change(full_root(), mounts=TREE), profile="privileged", user=True)
    assert "ro" in by_target(choice)["/sys"].attributes
    assert outcome(choice, "mount /sys") is Outcome.WEAKENED


def test_hierarchies_of_v1_are_mounted_as_they_are_called_and_never_writable() -> None:
    mounts = by_target(choose(reference_machine()))
    assert mounts["/sys/fs/cgroup"].fstype == "tmpfs"
    assert mounts["/sys/fs/cgroup/memory"].options == (("memory", ""),)
    assert mounts["/sys/fs/cgroup/systemd"].options == (("name", "systemd"),)
    assert mounts["/sys/fs/cgroup/unified"].fstype == "cgroup2"
    hierarchies = [spec for spec in mounts.values() if spec.fstype.startswith("cgroup")]
    assert all("ro" in spec.attributes for spec in hierarchies)


@pytest.mark.parametrize(
    ("profile", "fields"),
    [
        ("privileged", {}),
        ("default", {"security": SecurityOptions(writable_cgroups=True)}),
    ],
)
def test_cgroups_are_writable_when_that_was_asked_for(profile: str, fields: Any) -> None:
    mounts = by_target(choose(reference_machine(), profile=profile, **fields))
    assert "ro" not in mounts["/sys/fs/cgroup/memory"].attributes


def test_no_cgroups_outside_are_a_weaker_container_and_a_refused_flag() -> None:
    environment = change(full_root(), cgroup=Cgroup(mode=CgroupMode.NONE, hierarchies=()))
    subject = "mount /sys/fs/cgroup"
    assert outcome(choose(environment), subject) is Outcome.WEAKENED
    named = SecurityOptions(writable_cgroups=True)
    assert outcome(choose(environment, security=named), subject) is Outcome.REFUSED
