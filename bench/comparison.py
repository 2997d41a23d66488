"""The commands of the OCI runtimes side by side: the samples, and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from bench.launchers import CRUN, RUNC
from bench.measure import summarise
from bench.runtimes import CREATE, DELETE, KILL, NESTBOX, START

COMMANDS: Final = "commands"
PARALLEL: Final = "parallel"
ALIVE: Final = "alive"
KINDS: Final = (COMMANDS, PARALLEL, ALIVE)

LIFECYCLE: Final = "lifecycle"
# The commands of one container's life; that of all of them is their sum.
OF_LIFECYCLE: Final = (CREATE, START, KILL, DELETE)
MOST: Final = 2.5  # times runc's lifecycle, what nestbox promises of itself
_UNKNOWN: Final = "-"


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The samples of one runtime in one case."""

    case: str  # "create", "8 at once", "100 alive"
    runtime: str
    seconds: list[float]  # in the order of the rounds


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The series that were measured together, in the order of the table."""

    kind: str  # one of KINDS
    seccomp: str  # "none" or "default"
    series: tuple[Series, ...]


def cells(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the head of the table and its rows: times in milliseconds, ratios of medians.

    The ratios are those to the same case of a peer; with containers alive there is also that to the
    first case of the runtime itself, which shows how it grows.
    """
    grows = comparison.kind == ALIVE
    own = ("x fewest",) if grows else ()
    medians = _medians(comparison.series)
    head = ("", "runtime", "median", "p10", "p90", "min", *own, "x crun", "x runc")
    rows = []
    for each in comparison.series:
        summary = summarise(each.seconds)
        times = (summary.median_ms, summary.p10_ms, summary.p90_ms, summary.min_ms)
        bases = [(each.case, CRUN), (each.case, RUNC)]
        if grows:
            first = next(case for case, runtime in medians if runtime == each.runtime)
            bases.insert(0, (first, each.runtime))
        rows.append(
            (
                each.case,
                each.runtime,
                *(f"{value:.2f}" for value in times),
                *(_ratio(summary.median_ms, medians.get(base)) for base in bases),
            )
        )
    return [head, *rows]


def count(comparison: Comparison) -> int:
    """Return how many samples of each series there are."""
    return len(comparison.series[0].seconds)


def verdict(comparison: Comparison, versions: Mapping[str, str]) -> str:
    """Return whether the lifecycle keeps to its target, or that it was not measured."""
    medians = _medians(comparison.series)
    ours, theirs = medians.get((LIFECYCLE, NESTBOX)), medians.get((LIFECYCLE, RUNC))
    version = f" ({versions[RUNC]})" if RUNC in versions else ""
    limit = f"{' + '.join(OF_LIFECYCLE)} of nestbox-runtime at most {MOST} x runc's{version}"
    if ours is None or theirs is None:
        return f"{limit}: not measured"
    return f"{limit}: {ours / theirs:.3f}, {'met' if ours / theirs <= MOST else 'missed'}"


def _medians(series: Sequence[Series]) -> dict[tuple[str, str], float]:
    return {(each.case, each.runtime): summarise(each.seconds).median_ms for each in series}


def _ratio(value: float, base: float | None) -> str:
    return _UNKNOWN if base is None else f"{value / base:.2f}"
