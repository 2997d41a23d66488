"""Resource limits and the OOM score: set as asked, clamped with a warning, or refused if strict."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import NestboxError, UsageError
from nestbox.outer.facts import Limit, OuterEnvironment
from nestbox.policy.resolution import refusal
from tests.policy.config.cases import decide, engine, equipped, launch, spec
from tests.policy.surroundings import change, full_root, reference_machine

STRICT = {"org.nestbox.strict": "true"}


def files(hard: int, soft: int = 10) -> list[dict[str, Any]]:
    return [{"type": "RLIMIT_NOFILE", "hard": hard, "soft": soft}]


def limits(environment: OuterEnvironment, hard: int, soft: int = 10) -> Limit:
    return dict(launch(spec(process__rlimits=files(hard, soft)), environment).process.rlimits)[
        "RLIMIT_NOFILE"
    ]


def test_a_limit_within_the_outer_one_is_set() -> None:
    assert limits(reference_machine(), 20000, 20000) == Limit(soft=20000, hard=20000)


def test_a_limit_above_the_outer_one_is_clamped_with_a_warning_that_names_it() -> None:
    resolution = decide(spec(process__rlimits=files(1048576, 30000)), reference_machine())
    assert resolution.launch is not None
    assert resolution.launch.process.rlimits == (("RLIMIT_NOFILE", Limit(soft=20000, hard=20000)),)
    (warning,) = resolution.warnings
    assert "RLIMIT_NOFILE 30000:1048576: clamped to 20000:20000" in warning
    assert "CAP_SYS_RESOURCE" in warning


def test_what_podman_always_asks_for_is_clamped_here() -> None:
    config = engine("podman")
    resolution = decide(config, equipped(reference_machine()))
    assert resolution.launch is not None
    assert sum("clamped to" in line for line in resolution.warnings) == len(config.process.rlimits)


def test_with_the_right_a_limit_is_raised() -> None:
    assert limits(full_root(), 1 << 20) == Limit(soft=10, hard=1 << 20)
    core = [{"type": "RLIMIT_CORE", "hard": (1 << 64) - 1, "soft": (1 << 64) - 1}]
    process = launch(spec(process__rlimits=core)).process
    assert process.rlimits == (("RLIMIT_CORE", Limit(soft=None, hard=None)),)


@pytest.mark.parametrize(("nr_open", "hard"), [("1048576", 1 << 20), ("2000000", 2000000)])
def test_even_with_the_right_open_files_stop_at_nr_open(nr_open: str, hard: int) -> None:
    outer = change(full_root(), sysctls={"fs.nr_open": nr_open})
    assert limits(outer, (1 << 64) - 1) == Limit(soft=10, hard=hard)


def test_in_a_user_namespace_the_right_does_not_count() -> None:
    outer = full_root()
    assert outer.user_namespace is not None
    nested = msgspec.structs.replace(outer.user_namespace, initial=False)
    assert limits(change(outer, user_namespace=nested), 30000).hard == 20000


def test_the_strict_annotation_refuses_all_at_once() -> None:
    config = spec(process__rlimits=files(1048576), process__oomScoreAdj=-5, annotations=STRICT)
    resolution = decide(config, reference_machine())
    assert resolution.launch is None
    error = refusal(resolution)
    assert error is not None
    assert "RLIMIT_NOFILE" in str(error)
    assert "oom_score_adj" in str(error)
    assert resolution.warnings == ()


@pytest.mark.parametrize("value", ["True", "1", "yes", "false", ""])
def test_only_the_word_true_is_strict(value: str) -> None:
    config = spec(process__rlimits=files(1048576), annotations={"org.nestbox.strict": value})
    assert decide(config, reference_machine()).launch is not None


def test_a_limit_that_this_kernel_lacks_is_an_error() -> None:
    asked = [{"type": "RLIMIT_RTTIME", "hard": 1, "soft": 1}]
    with pytest.raises(UsageError, match="invalid rlimit type 'RLIMIT_RTTIME'"):
        launch(spec(process__rlimits=asked))


@pytest.mark.parametrize(
    "asked",
    [
        [{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 2}],
        [{"type": "NOFILE", "hard": 1, "soft": 1}],
        files(5, 5) * 2,
    ],
)
def test_a_malformed_limit_is_an_error(asked: Any) -> None:
    with pytest.raises(NestboxError, match="rlimits"):
        launch(spec(process__rlimits=asked))


@pytest.mark.parametrize(("wanted", "given"), [(None, None), (0, 0), (500, 500), (-1, 0)])
def test_a_score_below_our_own_is_clamped(wanted: int | None, given: int | None) -> None:
    resolution = decide(spec(process__oomScoreAdj=wanted), reference_machine())
    assert resolution.launch is not None
    assert resolution.launch.process.oom_score_adj == given
    assert bool(resolution.warnings) == (wanted != given)


def test_with_the_right_a_score_is_lowered() -> None:
    assert launch(spec(process__oomScoreAdj=-1000)).process.oom_score_adj == -1000


def test_a_score_that_was_seen_to_be_possible_is_set_without_the_right() -> None:
    outer = reference_machine()
    assert outer.limits is not None
    raised = change(
        outer, limits=msgspec.structs.replace(outer.limits, oom_score_adj=1, oom_score_floor=0)
    )
    resolution = decide(spec(process__oomScoreAdj=0), raised)
    assert resolution.launch is not None
    assert (resolution.launch.process.oom_score_adj, resolution.warnings) == (0, ())
    lower = decide(spec(process__oomScoreAdj=-5), raised)
    assert lower.launch is not None
    assert lower.launch.process.oom_score_adj == 0
    assert "clamped to 0" in lower.warnings[0]
