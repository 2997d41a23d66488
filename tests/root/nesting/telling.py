"""Decisions as lines of a golden text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from nestbox.policy.decision import CapabilityDecision, Decision, Outcome, Scope

_LESS: Final = frozenset({Outcome.WEAKENED, Outcome.REFUSED})
# What differs from one machine, or one launch, to the next and was not decided by the environment.
_CHANGING: Final = (
    (re.compile(r"\bpid \d+"), "pid N"),
    (re.compile(r"nesting-\d+"), "nesting-N"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "NAME"),
    # Directories of the present root: which ones are large is the machine's matter.
    (re.compile(r"read-only: /[^\s,]+(, /[^\s,]+)*( and \d+ more)?"), "read-only: DIRECTORIES"),
)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a launch is refused, in nestbox's own words."""

    what: str
    cause: str
    remedy: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one request, be it by a live plan or from a recording."""

    decisions: tuple[Decision, ...] = ()
    capabilities: tuple[CapabilityDecision, ...] = ()
    refused: Refusal | None = None
    planned: Refusal | None = None  # what a plan says of a launch that was refused

    def lines(self) -> tuple[str, ...]:
        """Return the rung of every ladder, then what is refused."""
        lines = [line for one in self.decisions for line in _aspect(one)]
        lines += _capabilities(self.capabilities)
        if self.refused:
            lines.append(f"refused: {self.refused.what}")
            lines += _why(self.refused.cause, self.refused.remedy)
        return tuple(settled(line) for line in lines)


def settled(text: str) -> str:
    """Return a text without what differs each time."""
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


def _aspect(one: Decision) -> Iterable[str]:
    if one.outcome is Outcome.REFUSED:
        yield f"{one.subject}: {one.request} refused"
        return
    instead = f" instead of {one.request}" if one.outcome in _LESS else ""
    yield f"{one.subject}: {one.chosen}{instead}"
    if one.outcome in _LESS:
        yield from _why(one.cause, one.remedy)


def _why(cause: str, remedy: str) -> Iterable[str]:
    yield f"    because: {cause}"
    yield f"    try: {remedy}"


def _capabilities(decisions: tuple[CapabilityDecision, ...]) -> Iterable[str]:
    """Return what is given, in one line, and what is less than asked for, by its reason."""
    given = [one for one in decisions if one.outcome is Outcome.GRANTED]
    if given:
        over = " over its own user namespace" if given[0].scope is Scope.USERNS else ""
        yield f"capabilities: {_names(given)}{over}"
    groups: dict[tuple[str, ...], list[CapabilityDecision]] = {}
    for one in decisions:
        if one.outcome in _LESS:
            lost = f", lost at {one.lost_at}" if one.lost_at else ""
            reason = (str(one.outcome), f"{one.detail or one.cause}{lost}", one.remedy)
            groups.setdefault(reason, []).append(one)
    for (outcome, cause, remedy), members in groups.items():
        yield f"capabilities {outcome}: {_names(members)}"
        if outcome is not Outcome.REFUSED:
            yield from _why(cause, remedy)


def _names(decisions: list[CapabilityDecision]) -> str:
    return " ".join(one.name.removeprefix("CAP_") for one in decisions)
