"""Resource limits of the container's processes, and their score when memory is short. Pure.

Source: getrlimit(2), proc_pid_oom_score_adj(5); kernel/sys.c do_prlimit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import ProfileError
from nestbox.outer.facts import Limit, Subject
from nestbox.policy.subjects import holds, in_initial_namespace, need
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

# The kernel's fs.nr_open unless somebody changed it: no process gets more, whatever its rights.
DEFAULT_NR_OPEN: Final = 1 << 20
FILES: Final = "RLIMIT_NOFILE"


class Ceiling(msgspec.Struct, frozen=True):
    """The highest hard limit that can be had, and why not a higher one."""

    hard: int | None  # None is unlimited
    cause: str
    remedy: str


def decide_rlimits(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[tuple[tuple[str, Limit], ...], tuple[Decision, ...]]:
    """Return the limits to set, and a decision for each.

    Above the outer hard limit only CAP_SYS_RESOURCE of the first user namespace reaches, so that a
    named limit is refused and one of a profile is clamped. Source: getrlimit(2).
    """
    asked: dict[str, tuple[Limit, Wish]] = {}
    for name, text in profile.rlimits:
        wish = by_profile(f"rlimit {name}", text, profile.name)
        asked[name] = (_parse(text, name, profile), wish)
    for limit in request.limits:
        text = f"{shown(limit.soft)}:{shown(limit.hard)}"
        wish = by_flag(f"rlimit {limit.name}", text, limit.asked_by)
        asked[limit.name] = (Limit(soft=limit.soft, hard=limit.hard), wish)
    settings: list[tuple[str, Limit]] = []
    decisions: list[Decision] = []
    for name, (wanted, wish) in asked.items():
        setting, decision = _decide(name, wanted, wish, environment)
        settings.append((name, setting))
        decisions.append(decision)
    return tuple(settings), tuple(decisions)


def _parse(text: str, name: str, profile: Profile) -> Limit:
    """Return ``SOFT[:HARD]`` of a profile, each a number or ``unlimited``."""
    soft, _, hard = text.partition(":")
    try:
        values = [None if word == "unlimited" else int(word) for word in (soft, hard or soft)]
    except ValueError:
        raise ProfileError(
            f"rlimit {name} of profile {profile.name}",
            cause=f"{text!r} is not SOFT:HARD",
            remedy="write two numbers, or unlimited",
        ) from None
    return Limit(soft=values[0], hard=values[1])


def _decide(
    name: str, wanted: Limit, wish: Wish, environment: OuterEnvironment
) -> tuple[Limit, Decision]:
    outer = need(environment.limits, Subject.LIMITS).rlimits.get(name)
    if outer is None:
        return wanted, wish.refused(
            cause=f"this kernel has no {name}", remedy="leave it out; man 2 getrlimit lists them"
        )
    ceiling = ceiling_of(name, wanted, outer, environment)
    if ceiling is None:
        return wanted, wish.granted(pair(wanted))
    clamped = clamp(wanted, ceiling)
    return clamped, wish.short(pair(clamped), cause=ceiling.cause, remedy=ceiling.remedy)


def clamp(wanted: Limit, ceiling: Ceiling) -> Limit:
    """Return the limit as far as it can be had."""
    return Limit(soft=lower(wanted.soft, ceiling.hard), hard=ceiling.hard)


def ceiling_of(
    name: str, wanted: Limit, outer: Limit, environment: OuterEnvironment
) -> Ceiling | None:
    """Return what a limit cannot go beyond, None for one that can be had."""
    if not raises_limits(environment):
        if at_most(wanted.hard, outer.hard):
            return None
        return Ceiling(
            outer.hard,
            f"the outer hard limit is {shown(outer.hard)}, and {_no_right(environment)}",
            f"ask for at most {shown(outer.hard)}, raise the outer limit, or give the outer "
            "environment CAP_SYS_RESOURCE",
        )
    if name != FILES or not is_above_default(wanted):
        return None
    most = _nr_open(environment)
    if at_most(wanted.hard, most):
        return None
    ask = f"; or, as root outside, run: sysctl -w fs.nr_open={wanted.hard}" if wanted.hard else ""
    return Ceiling(
        most,
        f"fs.nr_open is {most}, and no process may have more open files",
        f"ask for at most {most}{ask}",
    )


def raises_limits(environment: OuterEnvironment) -> bool:
    """Return whether we may raise hard limits and lower scores.

    The kernel asks for the capability in the first user namespace, whoever's limit it is.
    """
    return holds(environment, "CAP_SYS_RESOURCE") and in_initial_namespace(environment)


def _no_right(environment: OuterEnvironment) -> str:
    if holds(environment, "CAP_SYS_RESOURCE"):
        return "CAP_SYS_RESOURCE could raise it in the first user namespace alone"
    return "CAP_SYS_RESOURCE, which could raise it, is not in the outer effective set"


def is_above_default(limit: Limit) -> bool:
    """Return whether a limit on open files is above what every kernel gives."""
    return limit.hard is None or limit.hard > DEFAULT_NR_OPEN


def _nr_open(environment: OuterEnvironment) -> int:
    text = need(environment.sysctls, Subject.SYSCTLS).get("fs.nr_open")
    return int(text) if text and text.isdecimal() else DEFAULT_NR_OPEN


def wants_many_files(request: RunRequest, profile: Profile) -> bool:
    """Return whether fs.nr_open matters for the limits that are asked for."""
    limits = [limit for limit in request.limits if limit.name == FILES]
    asked = [Limit(soft=limit.soft, hard=limit.hard) for limit in limits]
    asked += [_parse(text, name, profile) for name, text in profile.rlimits if name == FILES]
    return any(is_above_default(limit) for limit in asked)


def decide_oom_score(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[int | None, tuple[Decision, ...]]:
    """Return the score to set, None for that of our own, and the decision about it."""
    if request.oom_score_adj is not None:
        flag = f"--oom-score-adj {request.oom_score_adj}"
        wish = by_flag("oom_score_adj", str(request.oom_score_adj), flag)
        return score_within(request.oom_score_adj, wish, environment)
    if profile.oom_score_adj is None:
        return None, ()
    wish = by_profile("oom_score_adj", str(profile.oom_score_adj), profile.name)
    return score_within(profile.oom_score_adj, wish, environment)


def score_within(
    wanted: int, wish: Wish, environment: OuterEnvironment
) -> tuple[int, tuple[Decision, ...]]:
    """Return the score as far as it can be had: not below our own without the right to lower it."""
    limits = need(environment.limits, Subject.LIMITS)
    own, floor = limits.oom_score_adj, limits.oom_score_floor
    least = own if floor is None else min(own, floor)
    if wanted >= least or raises_limits(environment):
        return wanted, (wish.granted(str(wanted)),)
    short = wish.short(
        f"clamped to {least}",
        cause=f"our own is {own}, and CAP_SYS_RESOURCE, which could lower it, is not in the outer "
        "effective set",
        remedy=f"ask for {least} or more, or give the outer environment CAP_SYS_RESOURCE",
    )
    return least, (short,)


def at_most(value: int | None, bound: int | None) -> bool:
    """Return whether a limit is within a bound; None is no limit."""
    return bound is None or (value is not None and value <= bound)


def lower(value: int | None, bound: int | None) -> int | None:
    """Return the lower of two limits; None is no limit."""
    if value is None or bound is None:
        return bound if value is None else value
    return min(value, bound)


def pair(limit: Limit) -> str:
    """Return a limit as ``SOFT:HARD``."""
    return f"{shown(limit.soft)}:{shown(limit.hard)}"


def shown(value: int | None) -> str:
    """Return one value as a user writes it."""
    return "unlimited" if value is None else str(value)
