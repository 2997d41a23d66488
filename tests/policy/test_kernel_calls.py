"""What kernel and outer filter have to allow for a launch."""

from __future__ import annotations

import msgspec

from nestbox.outer.facts import Lsm, OuterEnvironment, Seccomp, Subject, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.kernel_calls import (
    decide_calls,
    decide_old_mounts,
    has_old_mounts,
    with_consequences,
)
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
from nestbox.policy.wish import by_flag, by_profile
from tests.policy.surroundings import (
    ALL,
    ask,
    change,
    docker_container,
    full_root,
    reference_machine,
    rights,
    without,
)


def answering(**errors: str) -> OuterEnvironment:
    trials = {name: Trial(error=error) for name, error in errors.items()}
    return change(full_root(), seccomp=Seccomp(mode=2, filters=1, syscalls=trials))


def test_nothing_is_in_the_way_on_a_machine_that_has_all() -> None:
    assert decide_calls(full_root()) == (True, ())


def test_without_trials_nothing_is_claimed() -> None:
    assert decide_calls(change(full_root(), seccomp=None)) == (True, ())


def of_version(major: int, minor: int) -> OuterEnvironment:
    """Return an environment with an older kernel, which answers ENOSYS to mount_setattr(2)."""
    kernel = msgspec.structs.replace(
        full_root().kernel, release=f"{major}.{minor}.0", version=(major, minor)
    )
    return msgspec.structs.replace(answering(mount_setattr="ENOSYS"), kernel=kernel)


def test_an_old_kernel_is_refused_by_version() -> None:
    _, (decision,) = decide_calls(of_version(5, 8))
    assert decision.outcome is Outcome.REFUSED
    assert "5.8.0" in decision.cause
    assert decision.remedy == "use Linux 5.9 or newer"


def test_before_mount_setattr_the_older_call_changes_mounts() -> None:
    assert decide_calls(of_version(5, 10)) == (True, ())
    assert has_old_mounts(of_version(5, 11))
    assert not has_old_mounts(of_version(5, 12))


def test_a_filter_that_blocks_mounting_is_named_with_its_answers() -> None:
    _, (decision,) = decide_calls(answering(open_tree="EPERM", fsopen="ENOSYS", bpf="EPERM"))
    assert decision.outcome is Outcome.REFUSED
    assert "open_tree EPERM, fsopen ENOSYS" in decision.cause
    assert "bpf" not in decision.cause


def test_without_keyctl_the_keyring_is_shared_and_that_is_recorded() -> None:
    keyring, (decision,) = decide_calls(answering(keyctl="EPERM"))
    assert not keyring
    assert decision.outcome is Outcome.WEAKENED


def test_calls_are_tried_only_where_an_engine_may_filter() -> None:
    profile = load_shipped("default")
    assert profile is not None
    for environment in (full_root(), reference_machine()):
        assert Subject.SECCOMP not in required_subjects(ask(), profile, environment)
    cut = change(full_root(), capabilities=rights(without(ALL, "CAP_SYS_MODULE")))
    inner = msgspec.structs.replace(full_root().user_namespace, initial=False)
    for environment in (docker_container(), cut, change(full_root(), user_namespace=inner)):
        assert Subject.SECCOMP in required_subjects(ask(), profile, environment)


def test_where_engines_tie_their_filter_to_a_capability_that_is_the_remedy() -> None:
    environment = answering(open_tree="EPERM")
    _, (lifted,) = decide_calls(environment)
    assert "seccomp=unconfined" in lifted.remedy
    _, (added,) = decide_calls(
        change(environment, capabilities=rights(without(ALL, "CAP_SYS_ADMIN")))
    )
    assert "--cap-add SYS_ADMIN:" in added.remedy
    neither = rights(without(ALL, "CAP_SYS_ADMIN", "CAP_SYS_CHROOT"))
    _, (both,) = decide_calls(change(environment, capabilities=neither))
    assert "--cap-add SYS_ADMIN --cap-add SYS_CHROOT" in both.remedy


def test_a_profile_of_apparmor_that_denies_mounts_is_part_of_the_remedy() -> None:
    lsm = Lsm(active=("apparmor",), label="docker-default", apparmor_mode="enforce")
    _, (decision,) = decide_calls(change(answering(open_tree="EPERM"), lsm=lsm))
    assert "apparmor=unconfined" in decision.remedy
    assert "docker-default" in decision.remedy


def test_what_fails_by_the_filter_has_one_cause_and_one_remedy() -> None:
    _, calls = decide_calls(answering(open_tree="EPERM"))
    named = by_flag("root", "host", "--rootfs host")
    implied = by_profile("user-namespace", "host", "default")
    decisions = (
        named.refused(cause="an overlay was tried and gave EPERM", remedy="a copy"),
        implied.refused(cause="mapping uid 0 needs CAP_SETFCAP", remedy="give it"),
        by_flag("user-namespace", "auto", "--userns auto").refused(cause="no ids", remedy="ids"),
        named.refused(cause="the directory is a file", remedy="another"),
    )
    *same, ids, other = with_consequences(calls, decisions)
    assert {(one.cause, one.remedy) for one in same} == {(calls[0].cause, calls[0].remedy)}
    assert (ids, other) == decisions[2:]


def test_a_root_that_was_tried_in_a_user_namespace_fails_with_it() -> None:
    user = by_flag("user-namespace", "auto", "--userns auto").refused(cause="no ids", remedy="ids")
    root = by_flag("root", "host", "--rootfs host").refused(cause="gave EPERM", remedy="a copy")
    _, follows = with_consequences((), (user, root))
    assert (follows.cause, follows.remedy) == ("no ids", "ids")
    assert with_consequences((), (root,)) == (root,)


def test_before_mount_setattr_mounts_are_made_in_a_namespace_of_the_containers_own() -> None:
    assert decide_old_mounts(of_version(5, 10), "pivot") == ()
    assert decide_old_mounts(full_root(), "chroot") == ()
    (decision,) = decide_old_mounts(of_version(5, 10), "chroot")
    assert decision.outcome is Outcome.REFUSED
    assert decision.remedy == "give the container a mount namespace of its own"
