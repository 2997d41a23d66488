"""Resource limits of the container's processes: rlimits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import ProfileError
from nestbox.outer.facts import Limit, Subject
from nestbox.policy.subjects import holds, need
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest


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
    # The kernel asks for the capability in the first user namespace, whoever's limit it is.
    raises = holds(environment, "CAP_SYS_RESOURCE") and _initial(environment)
    if raises or at_most(wanted.hard, outer.hard):
        return wanted, wish.granted(pair(wanted))
    clamped = Limit(soft=lower(wanted.soft, outer.hard), hard=outer.hard)
    return clamped, wish.short(
        pair(clamped),
        cause=f"the outer hard limit is {shown(outer.hard)}, and CAP_SYS_RESOURCE, which could "
        "raise it, is not in the outer effective set",
        remedy=f"ask for at most {shown(outer.hard)}, raise the outer limit, or give the outer "
        "environment CAP_SYS_RESOURCE",
    )


def _initial(environment: OuterEnvironment) -> bool:
    return need(environment.user_namespace, Subject.USER_NAMESPACE).initial


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
