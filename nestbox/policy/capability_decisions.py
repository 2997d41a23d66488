"""One decision for each capability, from what was asked and what can be given. Pure.

Most capabilities of most launches are granted or not asked for, so these two need no text made:
their set outcomes are shared values. Words are made for what was not given alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.kernel.capabilities import LAST_KNOWN, TABLE, name_of
from nestbox.outer.facts import EngineKind
from nestbox.policy.capability_remedies import Holder, lost_at, remedy
from nestbox.policy.capability_room import observed_capabilities
from nestbox.policy.decision import (
    CapabilityCause,
    CapabilityDecision,
    Intent,
    Outcome,
    Scope,
    SetOutcome,
)

if TYPE_CHECKING:
    from nestbox.outer.facts import CapabilitySets, OuterEnvironment
    from nestbox.policy.capability_room import Room
    from nestbox.policy.capability_wish import Wish

INITIAL_ONLY = sum(1 << row.number for row in TABLE if row.initial_only)

_GIVEN = SetOutcome(given=True)
_KEPT = SetOutcome(given=True, cause=CapabilityCause.NEEDS_SETPCAP)
_ABSENT = {cause: SetOutcome(given=False, cause=cause) for cause in CapabilityCause}
_NOT_INHERITABLE = _ABSENT[CapabilityCause.NOT_INHERITABLE]
_NOT_AMBIENT = _ABSENT[CapabilityCause.NOT_AMBIENT]

_NO_EFFECT = "the kernel checks it against the initial user namespace only"
_NOT_ASKED = "neither the profile nor a flag asks for it"
_REMOVED = "removed by flag"
_KEEPS = "CAP_SETPCAP is not effective here, so the bounding set keeps it"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What policy gives, as masks, and the sets that follow from it."""

    granted: int
    ambient_refused: int  # granted, asked for as ambient, and not to be had there
    ambient_strict: bool  # the flag asked for ambient, not the profile
    sets: CapabilitySets


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """All that one decision is made from."""

    wish: Wish
    room: Room
    given: Given
    environment: OuterEnvironment

    @property
    def engine(self) -> EngineKind:
        """The engine around us, as far as it was observed."""
        return engine_kind(self.environment)


def engine_kind(environment: OuterEnvironment) -> EngineKind:
    """Return the engine around us; UNKNOWN when it was not looked for."""
    return environment.engine.kind if environment.engine else EngineKind.UNKNOWN


def holder_of(environment: OuterEnvironment) -> Holder:
    """Return ourselves, as far as we were observed."""
    identity = environment.identity
    sets = observed_capabilities(environment).sets
    return Holder(sets=sets, root=identity is None or identity.uid == 0)


def decide_each(judge: Judge) -> tuple[CapabilityDecision, ...]:
    """Return the decision for each capability of the kernel, of the table, and otherwise asked."""
    wish, given = judge.wish, judge.given
    mentioned = judge.room.known | wish.asked | wish.base | wish.dropped
    count = max(LAST_KNOWN + 1, mentioned.bit_length())
    known_or_named = mentioned | (1 << LAST_KNOWN + 1) - 1
    scope = Scope.USERNS if judge.room.user_namespace else Scope.OUTER
    no_effect = INITIAL_ONLY if judge.room.user_namespace else 0
    troubled = given.ambient_refused | no_effect
    granted_outcomes = _outcomes_of_granted(judge)
    decisions = []
    for number in range(count):
        bit = 1 << number
        if given.granted & bit and not troubled & bit:
            decision = _granted(judge, number, scope, granted_outcomes)
        elif not known_or_named & bit:
            continue
        elif given.granted & bit:
            decision = _granted_with_trouble(judge, number, scope, granted_outcomes)
        elif wish.asked & bit:
            decision = _missing(judge, number, scope)
        elif wish.dropped & bit:
            decision = _dropped(judge, number, scope)
        else:
            decision = _not_asked(judge, number, scope)
        decisions.append(decision)
    return tuple(decisions)


_Outcomes = tuple[SetOutcome, SetOutcome, SetOutcome]


def _outcomes_of_granted(judge: Judge) -> _Outcomes:
    """Return inheritable, permitted (as effective) and ambient of what is granted, not ambient."""
    if judge.room.acts_as_root:
        return _NOT_INHERITABLE, _GIVEN, _NOT_AMBIENT
    return _NOT_INHERITABLE, _ABSENT[CapabilityCause.NOT_ROOT], _NOT_AMBIENT


def _intent(judge: Judge, number: int) -> Intent:
    """Return whether the capability was asked for strictly."""
    return Intent.STRICT if judge.wish.strict >> number & 1 else Intent.LENIENT


def _granted(judge: Judge, number: int, scope: Scope, outcomes: _Outcomes) -> CapabilityDecision:
    """Return the decision for one that is given as it was asked."""
    if judge.given.sets.ambient >> number & 1:
        outcomes = (_GIVEN, _GIVEN, _GIVEN)
    return CapabilityDecision(
        number=number,
        name=name_of(number),
        asked_by=judge.wish.asked_by(number),
        intent=_intent(judge, number),
        outcome=Outcome.GRANTED,
        inheritable=outcomes[0],
        permitted=outcomes[1],
        effective=outcomes[1],
        bounding=_GIVEN,
        ambient=outcomes[2],
        scope=scope,
        has_effect=True,
    )


def _granted_with_trouble(
    judge: Judge, number: int, scope: Scope, outcomes: _Outcomes
) -> CapabilityDecision:
    """Return the decision for one without effect, or that cannot be ambient though asked."""
    decision = _granted(judge, number, scope, outcomes)
    if judge.given.ambient_refused >> number & 1:
        strict = judge.given.ambient_strict and decision.intent is Intent.STRICT
        return msgspec.structs.replace(
            decision,
            outcome=Outcome.REFUSED if strict else Outcome.WEAKENED,
            cause=CapabilityCause.NOT_AMBIENT,
            detail=absent_words(judge.environment, judge.room, CapabilityCause.NOT_AMBIENT),
            remedy=remedy(
                CapabilityCause.NOT_AMBIENT, (decision.name,), where="", engine=judge.engine
            ),
        )
    return msgspec.structs.replace(
        decision,
        has_effect=False,
        cause=CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE,
        detail=_NO_EFFECT,
    )


def _absent(
    judge: Judge, number: int, scope: Scope, outcome: Outcome, cause: CapabilityCause
) -> CapabilityDecision:
    """Return the decision for one that no set gets but, uncut, the bounding set."""
    none = _ABSENT[cause]
    return CapabilityDecision(
        number=number,
        name=name_of(number),
        asked_by=judge.wish.asked_by(number),
        intent=_intent(judge, number),
        outcome=outcome,
        inheritable=none,
        permitted=none,
        effective=none,
        bounding=_KEPT if judge.given.sets.bounding >> number & 1 else none,
        ambient=none,
        scope=scope,
        has_effect=True,
        cause=cause,
    )


def _missing(judge: Judge, number: int, scope: Scope) -> CapabilityDecision:
    """Return the decision for one that was asked for and cannot be given."""
    cause = missing_cause(judge.room, number)
    strict = judge.wish.strict >> number & 1
    outcome = Outcome.REFUSED if strict else Outcome.WEAKENED
    decision = _absent(judge, number, scope, outcome, cause)
    where = ""
    if cause is CapabilityCause.NOT_IN_OUTER_BOUNDING:
        where = lost_at(judge.environment, number)
    elif cause is CapabilityCause.NOT_IN_OUTER_PERMITTED:
        where = lost_at(judge.environment, number, permitted=True)
    return msgspec.structs.replace(
        decision,
        has_effect=cause is not CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE,
        detail=absent_words(judge.environment, judge.room, cause),
        lost_at=where,
        remedy=remedy(
            cause,
            (decision.name,),
            where=where,
            engine=judge.engine,
            holder=holder_of(judge.environment),
        ),
    )


def missing_cause(room: Room, number: int) -> CapabilityCause:
    """Return why one that was asked for cannot be given."""
    if not room.known >> number & 1:
        return CapabilityCause.NEWER_THAN_KERNEL
    if room.user_namespace:
        return CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE
    if not room.bounding >> number & 1:
        return CapabilityCause.NOT_IN_OUTER_BOUNDING
    return CapabilityCause.NOT_IN_OUTER_PERMITTED


def absent_words(environment: OuterEnvironment, room: Room, cause: CapabilityCause) -> str:
    """Return the cause in words, with the fact that decided."""
    facts = observed_capabilities(environment)
    sets = facts.sets
    whose = f"of pid {environment.identity.pid}" if environment.identity else "of this process"
    gained = (
        "no_new_privs keeps programs from gaining it"
        if room.no_new_privs
        else "a root or set-user-ID program in the container gains it"
    )
    words = {
        CapabilityCause.NEWER_THAN_KERNEL: (
            f"the last capability of this kernel is {name_of(facts.last)} ({facts.last})"
        ),
        CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE: (
            f"{_NO_EFFECT}, and the container is to have a new one"
        ),
        CapabilityCause.NOT_IN_OUTER_BOUNDING: (
            f"not in the outer bounding set (CapBnd {sets.bounding:016x} {whose})"
        ),
        CapabilityCause.NOT_IN_OUTER_PERMITTED: (
            "in the outer bounding set but not in the permitted one that an exec keeps "
            f"(CapPrm {sets.permitted:016x}, CapAmb {sets.ambient:016x} {whose})"
        ),
        CapabilityCause.NEEDS_SETPCAP: f"{_KEEPS}: {gained}",
        CapabilityCause.NOT_AMBIENT: room.ambient_blocker,
    }
    return words.get(cause, "")


def _dropped(judge: Judge, number: int, scope: Scope) -> CapabilityDecision:
    """Return the decision for one that a flag removes."""
    decision = _absent(judge, number, scope, Outcome.DROPPED, CapabilityCause.REMOVED_BY_FLAG)
    strict = judge.wish.dropped_strictly >> number & 1
    intent = Intent.STRICT if strict else Intent.LENIENT
    if decision.bounding.given:
        return _kept(judge, decision, intent)
    note = ""
    if not judge.room.bounding >> number & 1:
        note = "dropped, and was absent already"
    elif not judge.wish.base >> number & 1:
        note = "dropped, and was not asked for"
    return msgspec.structs.replace(decision, intent=intent, detail=_REMOVED, note=note)


def _not_asked(judge: Judge, number: int, scope: Scope) -> CapabilityDecision:
    """Return the decision for one that nobody mentioned."""
    known = judge.room.known >> number & 1
    cause = CapabilityCause.NOT_ASKED if known else CapabilityCause.NEWER_THAN_KERNEL
    decision = _absent(judge, number, scope, Outcome.NOT_ASKED, cause)
    if decision.bounding.given:
        return _kept(judge, decision, Intent.STRICT if judge.wish.base_strict else Intent.LENIENT)
    return decision


def _kept(judge: Judge, decision: CapabilityDecision, intent: Intent) -> CapabilityDecision:
    """Return the decision for one that should leave the bounding set and cannot."""
    cause = CapabilityCause.NEEDS_SETPCAP
    return msgspec.structs.replace(
        decision,
        intent=intent,
        outcome=Outcome.REFUSED if intent is Intent.STRICT else Outcome.WEAKENED,
        cause=cause,
        detail=absent_words(judge.environment, judge.room, cause),
        remedy=remedy(cause, (decision.name,), where="", engine=judge.engine),
    )
