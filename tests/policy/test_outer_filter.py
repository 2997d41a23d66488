"""What an outer filter leaves: how the executor is started, and which answers are made up for."""

from __future__ import annotations

import pytest

from nestbox.oci.seccomp import LinuxSeccomp, LinuxSyscall, SeccompAction
from nestbox.outer.facts import OuterEnvironment, Seccomp, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.kernel_calls import decide_calls
from nestbox.policy.outer_filter import decide_shim, decide_start
from tests.policy.surroundings import change, full_root

ALLOW, ERRNO, KILL = SeccompAction.ALLOW, SeccompAction.ERRNO, SeccompAction.KILL_PROCESS


def answering(mode: int = 2, **errors: str | None) -> OuterEnvironment:
    tried = {"clone": None, "clone3": None, "statx": None} | errors
    trials = {name: Trial(error=error) for name, error in tried.items()}
    fallbacks = {name: trials.pop(name) for name in ("renameat2",) if name in trials}
    facts = Seccomp(mode=mode, filters=1, syscalls=trials, fallbacks=fallbacks)
    return change(full_root(), seccomp=facts)


def rules(default: SeccompAction, **actions: SeccompAction) -> LinuxSeccomp:
    syscalls = tuple(LinuxSyscall(names=(name,), action=act) for name, act in actions.items())
    return LinuxSeccomp(default_action=default, syscalls=syscalls)


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM", "KILLED"])
def test_where_clone3_is_filtered_clone_starts_the_executor(error: str) -> None:
    plain, (decision,) = decide_start(answering(clone3=error))
    assert plain
    assert decision.outcome is Outcome.GRANTED
    assert f"clone3 {error}" in decision.cause
    assert decide_calls(answering(clone3=error)) == (True, ())


def test_where_both_are_filtered_the_launch_is_refused_and_clone3_named() -> None:
    environment = answering(clone3="ENOSYS", clone="EPERM")
    assert decide_start(environment) == (False, ())
    _, (decision,) = decide_calls(environment)
    assert decision.outcome is Outcome.REFUSED
    assert "clone3 ENOSYS" in decision.cause


def test_without_trials_or_with_both_calls_nothing_is_done() -> None:
    for environment in (change(full_root(), seccomp=None), answering()):
        assert decide_start(environment) == (False, ())
        assert decide_shim(None, environment) == ((), ())


def test_calls_that_libraries_fall_back_from_are_answered_with_enosys() -> None:
    names, (decision,) = decide_shim(None, answering(clone3="EPERM", renameat2="EPERM"))
    assert names == ("clone3", "renameat2")
    assert decision.outcome is Outcome.GRANTED
    assert decision.chosen == "ENOSYS for clone3, renameat2"


@pytest.mark.parametrize("error", ["ENOSYS", "KILLED", "TIMEOUT"])
def test_other_answers_need_no_shim_or_cannot_have_one(error: str) -> None:
    assert decide_shim(None, answering(clone3=error)) == ((), ())


def test_a_call_that_no_library_does_without_is_left_alone() -> None:
    assert decide_shim(None, answering(mount="EPERM")) == ((), ())


def test_an_answer_of_the_kernel_itself_is_left_alone() -> None:
    assert decide_shim(None, answering(mode=0, clone3="EPERM")) == ((), ())


@pytest.mark.parametrize(
    ("inner", "shimmed"),
    [
        (rules(ALLOW), True),
        (rules(ERRNO, clone3=ALLOW), True),
        (rules(KILL, clone3=ALLOW), True),
        (rules(ERRNO), False),
        (rules(KILL), False),
        (rules(ALLOW, clone3=ERRNO), False),
        (rules(ALLOW, clone3=KILL), False),
        (rules(ERRNO, read=ALLOW), False),
    ],
)
def test_what_the_container_s_own_filter_refuses_it_refuses_in_its_own_way(
    inner: LinuxSeccomp, shimmed: bool
) -> None:
    names, decisions = decide_shim(inner, answering(clone3="EPERM"))
    assert (names == ("clone3",)) is shimmed
    assert bool(decisions) is shimmed
