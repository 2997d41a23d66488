"""What kernel and outer filter have to allow for a launch."""

from __future__ import annotations

import msgspec

from nestbox.outer.facts import OuterEnvironment, Seccomp, Subject, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.kernel_calls import decide_calls
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
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


def test_an_old_kernel_is_refused_by_version() -> None:
    old = msgspec.structs.replace(full_root().kernel, release="5.10.0", version=(5, 10))
    _, (decision,) = decide_calls(change(full_root(), kernel=old))
    assert decision.outcome is Outcome.REFUSED
    assert "5.10.0" in decision.cause


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
