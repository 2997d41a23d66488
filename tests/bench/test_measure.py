"""Order of the rounds, percentiles, and that a failing launch ends the run."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench import measure
from bench.process import LaunchFailedError


class Recorded:
    """A launcher whose launches take the seconds it is given, in turn."""

    version = "1"
    contained = False

    def __init__(self, name: str, seconds: Sequence[float], calls: list[str]) -> None:
        self.name = name
        self._seconds = iter(seconds)
        self._calls = calls

    def launch(self) -> float:
        self._calls.append(self.name)
        try:
            return next(self._seconds)
        except StopIteration:
            raise LaunchFailedError("no more") from None

    def look(self, argv: Sequence[str]) -> str:
        return " ".join(argv)

    def peak_kib(self, meter: str) -> int:
        return len(meter)


def test_each_round_holds_every_launcher_and_starts_one_further() -> None:
    assert list(measure.rounds(4, 3)) == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_rounds_without_a_launcher_are_refused() -> None:
    with pytest.raises(ValueError, match="no launcher"):
        list(measure.rounds(1, 0))


def test_samples_are_interleaved_and_the_warmup_is_not_kept() -> None:
    calls: list[str] = []
    progress: list[tuple[int, int]] = []
    launchers = [Recorded("a", [9, 1, 2], calls), Recorded("b", [8, 3, 4], calls)]
    kept = measure.sample(
        launchers, count=2, warmup=1, progress=lambda done, of: progress.append((done, of))
    )
    assert kept == {"a": [1, 2], "b": [3, 4]}
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_a_failed_launch_ends_the_run() -> None:
    with pytest.raises(LaunchFailedError, match="no more"):
        measure.sample(
            [Recorded("a", [1], [])], count=2, warmup=0, progress=lambda _done, _of: None
        )


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (10, 1.0), (11, 2.0), (50, 5.0), (90, 9.0), (100, 10.0)]
)
def test_a_percentile_is_the_sample_of_the_nearest_rank(percent: float, expected: float) -> None:
    assert measure.percentile([float(n) for n in range(1, 11)], percent) == expected


def test_a_percentile_of_one_sample_is_that_sample() -> None:
    assert [measure.percentile([7.0], percent) for percent in (0, 50, 100)] == [7.0, 7.0, 7.0]


def test_a_summary_is_in_milliseconds_whatever_the_order() -> None:
    summary = measure.summarise([0.004, 0.001, 0.002, 0.003])
    assert summary == measure.Summary(median_ms=2.5, p10_ms=1.0, p90_ms=4.0, min_ms=1.0)
