"""The ladders of /proc and /sys by what was tried, and what stays covered in a bind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.outer.facts import Namespaces, OuterEnvironment, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.mounts import MountChoice
from nestbox.policy.paths import decide_masks
from nestbox.policy.request import SecurityOptions
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import ask, change, full_root, mount
from tests.policy.test_mounts import TREE, by_target, choose, outcome

WORKS = Trial(error=None)
MASKED = (
    *TREE,
    mount(6, 2, "/proc/kcore", "tmpfs"),
    mount(7, 2, "/proc/sys", "proc", root="/sys"),
)


def tried(
    *, user: bool = False, mounts: Any = TREE, initial: bool = True, **errors: str | None
) -> OuterEnvironment:
    """Return an environment where mounting the kernel's file systems was tried."""
    trials = {name: Trial(error=errors.get(name)) for name in ("proc", "sysfs", "mqueue", "devpts")}
    if "sysfs_ro" in errors:
        trials["sysfs ro"] = Trial(error=errors["sysfs_ro"])
    known = Namespaces(
        own={},
        create={},
        create_with_user={},
        mount={} if user else trials,
        mount_with_user=trials if user else {},
    )
    inner = msgspec.structs.replace(full_root().user_namespace, initial=initial)
    return change(full_root(), namespaces=known, mounts=mounts, user_namespace=inner)


def lacking(**fields: tuple[str, ...]) -> OuterEnvironment:
    return change(full_root(), kernel=msgspec.structs.replace(full_root().kernel, **fields))


def cause_of(choice: MountChoice, subject: str) -> str:
    return next(one.cause for one in choice.decisions if one.subject == subject)


def test_a_trial_that_fails_decides_where_the_mounts_show_no_reason() -> None:
    choice = choose(tried(user=True, proc="EACCES"), user=True)
    assert by_target(choice)["/proc"].fstype == "bind"
    assert cause_of(choice, "mount /proc") == "a fresh proc was tried and gave EACCES"


def test_in_the_first_user_namespace_nothing_has_to_be_tried() -> None:
    assert by_target(choose(tried(proc="EPERM", mounts=MASKED)))["/proc"].fstype == "proc"


def test_masks_of_our_own_user_namespace_hide_nothing_unless_a_trial_says_so() -> None:
    """They are locked only in a namespace that comes later: mounts tell neither."""
    inside = choose(tried(mounts=MASKED, initial=False))
    assert by_target(inside)["/proc"].fstype == "proc"
    locked = choose(tried(mounts=MASKED, initial=False, proc="EPERM"))
    assert by_target(locked)["/proc"].fstype == "bind"
    assert "/proc/kcore" in cause_of(locked, "mount /proc")


def test_a_sysfs_that_is_to_be_had_read_only_is_had() -> None:
    environment = tried(user=True, sysfs="EPERM", sysfs_ro=None)
    assert by_target(choose(environment, user=True))["/sys"].fstype == "sysfs"
    neither = tried(user=True, sysfs="EPERM", sysfs_ro="EPERM")
    assert by_target(choose(neither, user=True))["/sys"].fstype == "bind"


@pytest.mark.parametrize("sysfs", [(), (mount(3, 1, "/sys", "tmpfs"),)])
def test_without_an_outer_sysfs_there_is_an_empty_one(sysfs: Any) -> None:
    mounts = (mount(1, 0, "/", "overlay"), mount(2, 1, "/proc", "proc"), *sysfs)
    choice = choose(change(full_root(), mounts=mounts), user=True)
    assert by_target(choice)["/sys"].fstype == "tmpfs"
    assert "ro" not in by_target(choice)["/sys"].attributes  # cgroups are mounted in it
    assert outcome(choice, "mount /sys") is Outcome.WEAKENED


@pytest.mark.parametrize(("fstype", "target"), [("mqueue", "/dev/mqueue"), ("devpts", "/dev/pts")])
def test_what_the_kernel_lacks_or_forbids_is_left_out_and_told(fstype: str, target: str) -> None:
    rest = tuple({"proc", "sysfs", "tmpfs", "mqueue", "devpts", "cgroup2"} - {fstype})
    for environment in (lacking(file_systems=rest), tried(user=True, **{fstype: "EPERM"})):
        choice = choose(environment, user=True)
        assert target not in by_target(choice)
        assert outcome(choice, f"mount {target}") is Outcome.WEAKENED


def test_a_terminal_by_name_needs_pseudo_terminals() -> None:
    choice = choose(tried(user=True, devpts="EPERM"), user=True, terminal=True)
    assert outcome(choice, "terminal") is Outcome.REFUSED


def test_a_kernel_without_pid_namespaces_shares_the_outer_one() -> None:
    environment = lacking(namespaces=("mnt", "ipc", "uts", "net", "cgroup", "user"))
    choice = choose(environment)
    assert not choice.own_pid
    assert by_target(choice)["/proc"].fstype == "bind"
    assert outcome(choice, "pid-namespace") is Outcome.WEAKENED
    assert outcome(choose(environment, pid="private"), "pid-namespace") is Outcome.REFUSED


def test_a_kernel_without_cgroup_namespaces_shows_no_cgroups() -> None:
    choice = choose(lacking(namespaces=("mnt", "pid", "ipc", "uts", "net", "user")))
    assert "/sys/fs/cgroup" not in by_target(choice)
    assert outcome(choice, "mount /sys/fs/cgroup") is Outcome.WEAKENED


def test_without_ipc_namespaces_the_queues_stay_outside_a_user_namespace() -> None:
    environment = lacking(namespaces=("mnt", "pid", "uts", "net", "cgroup", "user"))
    assert "/dev/mqueue" in by_target(choose(environment))
    assert "/dev/mqueue" not in by_target(choose(environment, user=True))


def test_a_pid_namespace_by_name_is_had_or_refused() -> None:
    plain = choose(pid="private")
    assert (plain.own_pid, outcome(plain, "pid-namespace")) == (True, Outcome.GRANTED)
    masked = change(full_root(), mounts=MASKED)
    refused = choose(masked, user=True, pid="private")
    assert outcome(refused, "pid-namespace") is Outcome.REFUSED
    assert outcome(refused, "mount /proc") is Outcome.WEAKENED


def test_the_outer_pid_namespace_by_name_is_shared() -> None:
    outer = choose(pid="host")
    assert (outer.own_pid, by_target(outer)["/proc"].fstype) == (False, "proc")
    inner = choose(user=True, pid="host")
    assert (inner.own_pid, by_target(inner)["/proc"].fstype) == (False, "bind")


def test_what_is_covered_outside_comes_along_with_a_bind_and_only_with_it() -> None:
    masked = change(full_root(), mounts=MASKED)
    assert choose(masked, user=True).covered == ("/proc/kcore", "/proc/sys")
    assert choose(masked).covered == ()


def test_a_bind_that_hides_more_than_was_asked_for_is_told() -> None:
    privileged, default = load_shipped("privileged"), load_shipped("default")
    assert privileged is not None
    assert default is not None
    covered = ("/proc/kcore", "/proc/sys")
    *_, decision = decide_masks(ask(), privileged, covered=covered)[2]
    assert (decision.subject, decision.outcome) == ("outer-masks", Outcome.WEAKENED)
    assert "/proc/kcore, /proc/sys" in decision.cause
    # The profile covers both itself: nothing is hidden that was to be seen.
    decisions = decide_masks(ask(), default, covered=covered)[2]
    assert all(one.outcome is Outcome.GRANTED for one in decisions)


@pytest.mark.parametrize("unmask", ["ALL", "/proc/kcore", "/proc/*"])
def test_an_unmask_by_name_cannot_lift_what_is_covered_outside(unmask: str) -> None:
    default = load_shipped("default")
    assert default is not None
    request = ask(security=SecurityOptions(unmask=(unmask,)))
    *_, decision = decide_masks(request, default, covered=("/proc/kcore",))[2]
    assert decision.outcome is Outcome.REFUSED
    assert "/proc/kcore" in decision.cause
    *_, decision = decide_masks(request, default)[2]
    assert decision.outcome is Outcome.GRANTED
