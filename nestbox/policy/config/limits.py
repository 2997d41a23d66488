"""Resource limits and the OOM score: what an engine sets for every container, clamped. Pure.

Source: getrlimit(2), proc_pid_oom_score_adj(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import UsageError
from nestbox.oci.numbers import MAX_UINT64
from nestbox.outer.facts import Limit, Subject
from nestbox.policy.limits import (
    FILES,
    ceiling_of,
    clamp,
    is_above_default,
    pair,
    score_within,
)
from nestbox.policy.subjects import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.oci.process import POSIXRlimit, Process
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.wish import Wish

    Wisher = Callable[[str, str, str], Wish]


def wants_many_files(process: Process) -> bool:
    """Return whether the limit of open files is above what every kernel gives."""
    limits = (
        Limit(soft=None, hard=_limit(one.hard)) for one in process.rlimits if one.type == FILES
    )
    return any(map(is_above_default, limits))


def decide_rlimits(
    process: Process, environment: OuterEnvironment, wisher: Wisher
) -> tuple[tuple[tuple[str, Limit], ...], tuple[Decision, ...]]:
    """Return the limits to set, each within what the kernel lets us set, and the decisions.

    Raises:
        UsageError: this kernel has no such limit.
    """
    settings: list[tuple[str, Limit]] = []
    decisions: list[Decision] = []
    for one in process.rlimits:
        wanted = Limit(soft=_limit(one.soft), hard=_limit(one.hard))
        wish = wisher(f"rlimit {one.type}", pair(wanted), "process.rlimits")
        setting, decision = _decide(one, wanted, environment, wish)
        settings.append((one.type, setting))
        decisions.append(decision)
    return tuple(settings), tuple(decisions)


def _limit(value: int) -> int | None:
    return None if value == MAX_UINT64 else value


def _decide(
    one: POSIXRlimit, wanted: Limit, environment: OuterEnvironment, wish: Wish
) -> tuple[Limit, Decision]:
    outer = need(environment.limits, Subject.LIMITS).rlimits.get(one.type)
    if outer is None:
        raise UsageError(
            f"invalid rlimit type {one.type!r}",
            cause="this kernel has no such limit",
            remedy="leave it out; man 2 getrlimit lists them",
        )
    ceiling = ceiling_of(one.type, wanted, outer, environment)
    if ceiling is None:
        return wanted, wish.granted(pair(wanted))
    clamped = clamp(wanted, ceiling)
    words = f"clamped to {pair(clamped)}"
    return clamped, wish.short(words, cause=ceiling.cause, remedy=ceiling.remedy)


def decide_oom_score(
    process: Process, environment: OuterEnvironment, wisher: Wisher
) -> tuple[int | None, tuple[Decision, ...]]:
    """Return the score to set, not below our own without the right to lower it."""
    wanted = process.oom_score_adj
    if wanted is None:
        return None, ()
    wish = wisher("oom_score_adj", str(wanted), "process.oomScoreAdj")
    return score_within(wanted, wish, environment)
