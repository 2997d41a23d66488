"""Samples of all launchers in one interleaved run, and what they amount to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from bench.launchers import Launcher

Result = TypeVar("Result")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution of one launcher's samples, in milliseconds."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    min_ms: float


def rounds(count: int, launchers: int) -> Iterator[Sequence[int]]:
    """Yield the order of each round; each starts one further, so that none always follows another.

    Raises:
        ValueError: there is nothing to order.
    """
    if launchers < 1:
        raise ValueError("there is no launcher to measure")
    for number in range(count):
        yield [(number + place) % launchers for place in range(launchers)]


def interleave(
    tasks: Sequence[Callable[[], Result]],
    *,
    count: int,
    warmup: int,
    progress: Callable[[int, int], None],
) -> list[list[Result]]:
    """Return for each task what its calls returned, in the order of the rounds.

    The rounds of the warm-up come first and are not kept.

    Raises:
        LaunchFailedError: any launch in a task failed.
    """
    results: list[list[Result]] = [[] for _ in tasks]
    for number, order in enumerate(rounds(warmup + count, len(tasks))):
        for index in order:
            result = tasks[index]()
            if number >= warmup:
                results[index].append(result)
        progress(number + 1, warmup + count)
    return results


def sample(
    launchers: Sequence[Launcher], *, count: int, warmup: int, progress: Callable[[int, int], None]
) -> dict[str, list[float]]:
    """Return for each launcher its seconds per launch, in the order of the rounds.

    The rounds of the warm-up come first and are not kept.

    Raises:
        LaunchFailedError: any launch failed.
    """
    launches = [launcher.launch for launcher in launchers]
    seconds = interleave(launches, count=count, warmup=warmup, progress=progress)
    return {launcher.name: took for launcher, took in zip(launchers, seconds, strict=True)}


def summarise(seconds: Sequence[float]) -> Summary:
    """Return the summary of some samples in seconds."""
    ordered = sorted(seconds)
    return Summary(
        median_ms=statistics.median(ordered) * 1000,
        p10_ms=percentile(ordered, 10) * 1000,
        p90_ms=percentile(ordered, 90) * 1000,
        min_ms=ordered[0] * 1000,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the percentile by the nearest rank: always one of the samples."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]
