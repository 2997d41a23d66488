"""Resource limits and the OOM score: what an engine sets for every container, clamped. Pure.

Source: getrlimit(2), proc_pid_oom_score_adj(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.oci.numbers import MAX_UINT64
from nestbox.outer.facts import Limit, Subject
from nestbox.policy.limits import at_most, lower, pair, shown
from nestbox.policy.subjects import holds, in_initial_namespace, need

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.oci.process import POSIXRlimit, Process
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.wish import Wish

    Wisher = Callable[[str, str, str], Wish]

# The kernel's fs.nr_open unless somebody changed it: no process gets more, whatever its rights.
DEFAULT_NR_OPEN: Final = 1 << 20
_FILES: Final = "RLIMIT_NOFILE"


def wants_many_files(process: Process) -> bool:
    """Return whether the limit of open files is above what every kernel gives."""
    return any(one.type == _FILES and one.hard > DEFAULT_NR_OPEN for one in process.rlimits)


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
    ceiling, cause, remedy = outer.hard, _CAUSE.format(shown(outer.hard)), _REMEDY
    if holds(environment, "CAP_SYS_RESOURCE") and in_initial_namespace(environment):
        if one.type != _FILES or one.hard <= DEFAULT_NR_OPEN:
            return wanted, wish.granted(pair(wanted))
        ceiling = _nr_open(environment)
        cause = f"fs.nr_open is {ceiling}, and no process may have more open files"
        remedy = f"outside, run: sysctl -w fs.nr_open={shown(wanted.hard)}"
    if at_most(wanted.hard, ceiling):
        return wanted, wish.granted(pair(wanted))
    clamped = Limit(soft=lower(wanted.soft, ceiling), hard=ceiling)
    return clamped, wish.short(f"clamped to {pair(clamped)}", cause=cause, remedy=remedy)


_CAUSE: Final = (
    "the outer hard limit is {}, and CAP_SYS_RESOURCE, which could raise it, is not in the outer "
    "effective set"
)
_REMEDY: Final = "raise the limit of the engine, or give its environment CAP_SYS_RESOURCE"


def _nr_open(environment: OuterEnvironment) -> int:
    text = need(environment.sysctls, Subject.SYSCTLS).get("fs.nr_open")
    return int(text) if text and text.isdecimal() else DEFAULT_NR_OPEN


def decide_oom_score(
    process: Process, environment: OuterEnvironment, wisher: Wisher
) -> tuple[int | None, tuple[Decision, ...]]:
    """Return the score to set, not below our own without the right to lower it."""
    wanted = process.oom_score_adj
    if wanted is None:
        return None, ()
    wish = wisher("oom_score_adj", str(wanted), "process.oomScoreAdj")
    limits = need(environment.limits, Subject.LIMITS)
    own, floor = limits.oom_score_adj, limits.oom_score_floor
    least = own if floor is None else min(own, floor)
    lowers = holds(environment, "CAP_SYS_RESOURCE") and in_initial_namespace(environment)
    if wanted >= least or lowers:
        return wanted, (wish.granted(str(wanted)),)
    short = wish.short(
        f"clamped to {least}",
        cause=f"our own is {own}, and CAP_SYS_RESOURCE, which could lower it, is not in the outer "
        "effective set",
        remedy=f"ask for {least} or more, or give the outer environment CAP_SYS_RESOURCE",
    )
    return least, (short,)
