"""The way to the container's root: pivot_root(2), or the root moved over the outer one."""

from __future__ import annotations

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import OuterEnvironment, Seccomp, Subject, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.entry import decide_entry, whole_kernel_mounts
from nestbox.policy.launch_spec import RootSpec
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
from tests.policy.surroundings import ALL, DOCKER, ask, change, full_root, mount, rights, without

ROOT = RootSpec(directory="/srv/root")
SYS_ADMIN = 1 << BY_NAME["CAP_SYS_ADMIN"]


def without_pivot(held: int = DOCKER | SYS_ADMIN) -> OuterEnvironment:
    """Return docker's container with CAP_SYS_ADMIN, whose filter leaves pivot_root(2) out."""
    trials = {"pivot_root": Trial(error="EPERM"), "mount": Trial(error=None)}
    return change(
        full_root(),
        capabilities=rights(held),
        seccomp=Seccomp(mode=2, filters=1, syscalls=trials),
    )


def test_where_nothing_forbids_it_the_root_is_pivoted() -> None:
    assert decide_entry(ROOT, full_root(), reachable=ALL, new_user_namespace=False) == (ROOT, ())


def test_without_pivot_root_the_root_is_moved_and_no_whole_proc_is_left_below() -> None:
    root, (decision,) = decide_entry(
        ROOT, without_pivot(), reachable=DOCKER, new_user_namespace=False
    )
    assert root.entry == "move"
    assert root.uncovered == ("/proc", "/sys")
    assert decision.outcome is Outcome.GRANTED
    assert "pivot_root" in decision.cause


def test_a_container_that_could_unmount_its_root_is_told_to_be_weaker() -> None:
    _, (decision,) = decide_entry(
        ROOT, without_pivot(), reachable=SYS_ADMIN, new_user_namespace=False
    )
    assert decision.outcome is Outcome.WEAKENED


def test_the_lower_rung_needs_chroot_and_its_absence_is_the_remedy() -> None:
    held = without_pivot(without(DOCKER, "CAP_SYS_CHROOT") | SYS_ADMIN)
    root, (decision,) = decide_entry(ROOT, held, reachable=0, new_user_namespace=False)
    assert root == ROOT
    assert decision.outcome is Outcome.REFUSED
    assert "--cap-add SYS_CHROOT" in decision.remedy
    root, (decision,) = decide_entry(ROOT, held, reachable=0, new_user_namespace=True)
    assert root.entry == "move"


def test_only_whole_mounts_outside_the_root_matter() -> None:
    mounts = (
        mount(1, 0, "/", "ext4"),
        mount(2, 1, "/proc", "proc"),
        mount(3, 2, "/proc/sys", "proc", root="/sys"),
        mount(4, 1, "/srv/root/proc", "proc"),
        mount(5, 1, "/mnt/sys", "sysfs"),
        mount(6, 1, "/tmp", "tmpfs"),
    )
    assert whole_kernel_mounts(mounts, "/srv/root") == ("/proc", "/mnt/sys")
    assert whole_kernel_mounts(mounts, "/") == ("/proc", "/srv/root/proc", "/mnt/sys")


def test_mounts_are_looked_at_only_where_that_call_is_missing() -> None:
    profile = load_shipped("default")
    assert profile is not None
    assert Subject.MOUNTS in required_subjects(ask(), profile, without_pivot())
    assert Subject.MOUNTS not in required_subjects(ask(), profile, full_root())
