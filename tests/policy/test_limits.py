"""Resource limits: met, clamped or refused."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import ProfileError
from nestbox.outer.facts import Limit
from nestbox.policy.decision import Outcome
from nestbox.policy.limits import decide_rlimits
from nestbox.policy.profile import Profile
from nestbox.policy.request import LimitRequest, RunRequest
from nestbox.policy.shipped_profiles import load_shipped
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
    _, (decision,) = decide_rlimits(asked("RLIMIT_NOFILE", 10, None), profile(), full_root())
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
