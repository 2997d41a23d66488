"""Resource limits: met, clamped or refused."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import ProfileError
from nestbox.outer.facts import Limit, OuterEnvironment, Subject
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.limits import decide_oom_score, decide_rlimits
from nestbox.policy.profile import Profile
from nestbox.policy.request import LimitRequest, RunRequest
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
from tests.policy.surroundings import ask, change, full_root, reference_machine


def asked(name: str, soft: int | None, hard: int | None) -> RunRequest:
    limit = LimitRequest(name=name, soft=soft, hard=hard, asked_by=f"--ulimit {name}")
    return ask(limits=(limit,))


def profile(*rlimits: tuple[str, str]) -> Profile:
    shipped = load_shipped("default")
    assert shipped is not None
    return msgspec.structs.replace(shipped, rlimits=rlimits)


def test_a_limit_below_the_outer_one_is_given() -> None:
    settings, (decision,) = decide_rlimits(
        asked("RLIMIT_NOFILE", 10, 20), profile(), reference_machine()
    )
    assert settings == (("RLIMIT_NOFILE", Limit(soft=10, hard=20)),)
    assert decision.outcome is Outcome.GRANTED


@pytest.mark.parametrize("hard", [20001, None])
def test_above_the_outer_hard_limit_a_named_one_is_refused_and_sys_resource_named(
    hard: int | None,
) -> None:
    _, (decision,) = decide_rlimits(
        asked("RLIMIT_NOFILE", 10, hard), profile(), reference_machine()
    )
    assert decision.outcome is Outcome.REFUSED
    assert "CAP_SYS_RESOURCE" in decision.cause
    assert "20000" in decision.cause


def test_with_sys_resource_it_is_given() -> None:
    _, (decision,) = decide_rlimits(asked("RLIMIT_NOFILE", 10, 30000), profile(), full_root())
    assert decision.outcome is Outcome.GRANTED


def test_sys_resource_over_an_inner_user_namespace_does_not_count() -> None:
    inner = msgspec.structs.replace(full_root().user_namespace, initial=False)
    _, (decision,) = decide_rlimits(
        asked("RLIMIT_NOFILE", 10, None), profile(), change(full_root(), user_namespace=inner)
    )
    assert decision.outcome is Outcome.REFUSED


def test_one_of_a_profile_is_clamped_and_that_is_recorded() -> None:
    settings, (decision,) = decide_rlimits(
        ask(), profile(("RLIMIT_NOFILE", "unlimited")), reference_machine()
    )
    assert settings == (("RLIMIT_NOFILE", Limit(soft=20000, hard=20000)),)
    assert decision.outcome is Outcome.WEAKENED


def test_the_flag_replaces_the_profile() -> None:
    settings, decisions = decide_rlimits(
        asked("RLIMIT_NOFILE", 1, 2), profile(("RLIMIT_NOFILE", "5:6")), reference_machine()
    )
    assert settings == (("RLIMIT_NOFILE", Limit(soft=1, hard=2)),)
    assert len(decisions) == 1


def test_a_limit_that_the_kernel_has_not_is_refused() -> None:
    _, (decision,) = decide_rlimits(asked("RLIMIT_NOFILES", 1, 2), profile(), full_root())
    assert decision.outcome is Outcome.REFUSED


def test_a_malformed_limit_of_a_profile_is_an_error_of_the_profile() -> None:
    with pytest.raises(ProfileError):
        decide_rlimits(ask(), profile(("RLIMIT_NOFILE", "many")), full_root())


def scored(score: int, environment: OuterEnvironment) -> tuple[int | None, tuple[Decision, ...]]:
    return decide_oom_score(ask(oom_score_adj=score), profile(), environment)


def with_score(own: int, floor: int | None = None) -> OuterEnvironment:
    limits = msgspec.structs.replace(
        reference_machine().limits, oom_score_adj=own, oom_score_floor=floor
    )
    return change(reference_machine(), limits=limits)


def test_without_a_score_by_name_that_of_our_own_is_kept() -> None:
    assert decide_oom_score(ask(), profile(), reference_machine()) == (None, ())


@pytest.mark.parametrize(("score", "own", "floor"), [(500, 0, None), (300, 300, None), (0, 300, 0)])
def test_a_score_that_may_be_set_is_given(score: int, own: int, floor: int | None) -> None:
    value, (decision,) = scored(score, with_score(own, floor))
    assert value == score
    assert decision.outcome is Outcome.GRANTED


def test_a_score_below_our_own_is_refused_without_the_right() -> None:
    _, (decision,) = scored(-500, with_score(0))
    assert decision.outcome is Outcome.REFUSED
    assert "CAP_SYS_RESOURCE" in decision.cause
    value, (decision,) = scored(-500, full_root())
    assert (value, decision.outcome) == (-500, Outcome.GRANTED)


def with_nr_open(value: str) -> OuterEnvironment:
    return change(full_root(), sysctls={"fs.nr_open": value})


@pytest.mark.parametrize("hard", [1 << 21, None])
def test_no_process_has_more_open_files_than_the_kernel_allows(hard: int | None) -> None:
    request = asked("RLIMIT_NOFILE", 10, hard)
    _, (decision,) = decide_rlimits(request, profile(), with_nr_open("1048577"))
    assert decision.outcome is Outcome.REFUSED
    assert "fs.nr_open is 1048577" in decision.cause
    settings, (decision,) = decide_rlimits(
        ask(), profile(("RLIMIT_NOFILE", "unlimited")), with_nr_open("1048577")
    )
    assert settings == (("RLIMIT_NOFILE", Limit(soft=1048577, hard=1048577)),)
    assert decision.outcome is Outcome.WEAKENED


def test_the_most_open_files_are_looked_up_only_for_more_than_every_kernel_gives() -> None:
    few, many = asked("RLIMIT_NOFILE", 10, 1 << 20), asked("RLIMIT_NOFILE", 10, (1 << 20) + 1)
    assert Subject.SYSCTLS not in required_subjects(few, profile(), full_root())
    for request, shipped in ((many, profile()), (ask(), profile(("RLIMIT_NOFILE", "unlimited")))):
        assert Subject.SYSCTLS in required_subjects(request, shipped, full_root())


def test_a_score_of_a_profile_is_clamped_and_that_is_recorded() -> None:
    wanted = msgspec.structs.replace(profile(), oom_score_adj=-500)
    value, (decision,) = decide_oom_score(ask(), wanted, with_score(100))
    assert (value, decision.outcome) == (100, Outcome.WEAKENED)
    assert Subject.LIMITS in required_subjects(ask(), wanted, full_root())
