"""The decisions about one launch as tables for a person, to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.cli import output as out
from nestbox.policy.decision import Outcome, Scope

if TYPE_CHECKING:
    from nestbox.policy.decision import CapabilityDecision, Decision
    from nestbox.runtime.prepare import Prepared

_LESS: Final = frozenset({Outcome.WEAKENED, Outcome.REFUSED})


_LABELS: Final = {
    Outcome.GRANTED: "given",
    Outcome.WEAKENED: "less",
    Outcome.REFUSED: "refused",
    Outcome.DROPPED: "removed",
    Outcome.NOT_ASKED: "not asked",
}
_NO_EFFECT: Final = "no effect"


def show_decisions(prepared: Prepared) -> None:
    """Print what was asked for, by whom, what is given, and why not more."""
    resolution = prepared.resolution
    out.say(f"profile {resolution.profile} ({prepared.profile.source or 'built in'})")
    out.heading("Decisions")
    out.table(
        ("ASPECT", "ASKED FOR", "BY", "GIVEN"),
        [_row(decision) for decision in resolution.decisions],
    )
    out.heading("Capabilities")
    _show_capabilities(resolution.capabilities.decisions)
    _show_less(resolution.decisions, resolution.capabilities.decisions)


def _row(decision: Decision) -> tuple[str, ...]:
    given = "refused" if decision.outcome is Outcome.REFUSED else decision.chosen
    return decision.subject, decision.request, decision.asked_by, given


def _show_capabilities(decisions: tuple[CapabilityDecision, ...]) -> None:
    """Print the names by what became of them."""
    groups: dict[str, list[str]] = {}
    for decision in decisions:
        name = decision.name.removeprefix("CAP_")
        groups.setdefault(_label(decision), []).append(name)
    for label in (*_LABELS.values(), _NO_EFFECT):
        names = groups.get(label, [])
        if names:
            out.paragraph(f"{label:<10} {len(names):>2}  {' '.join(names)}", hanging=15)
    if any(one.scope is Scope.USERNS and one.outcome is Outcome.GRANTED for one in decisions):
        out.say()
        out.paragraph(
            "What is given is power over the container's own user namespace. What has no effect "
            "the kernel checks against the first user namespace alone."
        )


def _label(decision: CapabilityDecision) -> str:
    if decision.outcome is Outcome.GRANTED and not decision.has_effect:
        return _NO_EFFECT
    return _LABELS[decision.outcome]


def _show_less(
    decisions: tuple[Decision, ...], capabilities: tuple[CapabilityDecision, ...]
) -> None:
    """Print why something is less than what was asked for, and what would bring it."""
    aspects = [
        (f"{one.subject}: {_instead(one)}", one.cause, one.remedy)
        for one in decisions
        if one.outcome in _LESS
    ]
    grouped: dict[tuple[str, str], list[str]] = {}
    for one in capabilities:
        if one.outcome in _LESS:
            lost = f", lost at {one.lost_at}" if one.lost_at else ""
            why = f"{one.detail or one.cause.value}{lost}"
            grouped.setdefault((why, one.remedy), []).append(one.name)
    rows = [(" ".join(names), *reasons) for reasons, names in grouped.items()] + aspects
    if not rows:
        return
    out.heading("Less than was asked for")
    for what, cause, remedy in rows:
        out.paragraph(what, hanging=2)
        out.paragraph(f"because: {cause}", indent=2, hanging=9)
        if remedy:
            out.paragraph(f"try:     {remedy}", indent=2, hanging=9)


def _instead(decision: Decision) -> str:
    if decision.outcome is Outcome.REFUSED:
        return f"{decision.request} is refused"
    return f"{decision.chosen} instead of {decision.request}"
