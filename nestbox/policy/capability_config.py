"""Which capabilities a config.json gets: five lists, each clipped to what can be given here. Pure.

The lists come from an engine and are meant as they stand: a set that is absent is empty, and each
is limited by the kernel's rule for that set alone. What cannot be given is left out with a warning;
the annotation ``org.nestbox.strict`` makes it a refusal.

Source: runtime-spec config.md "Linux Process" (capabilities), capabilities(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.kernel.capabilities import LAST_KNOWN, mask_up_to, name_of, numbers_in
from nestbox.oci.process import ConfigCapabilities
from nestbox.outer.facts import CapabilitySets
from nestbox.policy.capabilities import CapabilityResolution
from nestbox.policy.capability_decisions import (
    INITIAL_ONLY,
    absent_words,
    engine_kind,
    missing_cause,
)
from nestbox.policy.capability_names import ALL_NAMES_OF_CONFIG, BadName, read_name, shown
from nestbox.policy.capability_remedies import lost_at, remedy
from nestbox.policy.capability_room import Room, measure_room
from nestbox.policy.decision import (
    CapabilityCause,
    CapabilityDecision,
    Intent,
    Outcome,
    Scope,
    SetOutcome,
)

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment

SETS: Final = ("inheritable", "permitted", "effective", "bounding", "ambient")


class ConfigAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What a config.json asks about capabilities, and of the process that is to have them."""

    lists: ConfigCapabilities = ConfigCapabilities()
    strict: bool = False  # the annotation org.nestbox.strict
    uid: int = 0
    new_user_namespace: bool = False
    no_new_privs: bool = False


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The lists as masks, and the names that mean nothing."""

    sets: CapabilitySets
    unknown: tuple[BadName, ...]

    def union(self) -> int:
        """Return the mask of what is asked for in any set."""
        sets = self.sets
        return sets.inheritable | sets.permitted | sets.effective | sets.bounding | sets.ambient


class _Case(msgspec.Struct, frozen=True, kw_only=True):
    """All that one decision is made from."""

    intent: Intent
    asked: _Asked
    sets: CapabilitySets
    room: Room
    environment: OuterEnvironment


def decide_config_capabilities(
    ask: ConfigAsk, environment: OuterEnvironment
) -> CapabilityResolution:
    """Return what becomes of the five lists; the notes are the warnings of the OCI log.

    Raises:
        EnvironmentUnreadable: the capabilities of the outer environment were not observed.
    """
    room = measure_room(
        environment,
        uid=ask.uid,
        new_user_namespace=ask.new_user_namespace,
        no_new_privs=ask.no_new_privs,
    )
    asked = _read(ask.lists, room.available)
    sets = _clip(asked.sets, room)
    case = _Case(
        intent=Intent.STRICT if ask.strict else Intent.LENIENT,
        asked=asked,
        sets=sets,
        room=room,
        environment=environment,
    )
    shown_mask = asked.union() | room.known | mask_up_to(LAST_KNOWN)
    decisions = tuple(_decide(case, number) for number in numbers_in(shown_mask))
    decisions += tuple(_unknown(case, name) for name in asked.unknown)
    return CapabilityResolution(
        decisions=decisions,
        sets=sets,
        drop_bounding=room.bounding & ~sets.bounding,
        granted=asked.union() & room.available,
        scope=Scope.USERNS if room.user_namespace else Scope.OUTER,
        problems=tuple(one for one in decisions if one.outcome is Outcome.REFUSED),
        label="config.json",
        engine=engine_kind(environment),
        notes=_warnings(decisions),
    )


def _read(lists: ConfigCapabilities, available: int) -> _Asked:
    """Return the lists as masks; ALL_CAPS is what can be granted, whatever stands beside it."""
    masks: dict[str, int] = {}
    unknown: dict[str, BadName] = {}
    for field in SETS:
        mask, has_all = 0, False
        for text in getattr(lists, field):
            name = read_name(text, ALL_NAMES_OF_CONFIG)
            if isinstance(name, BadName):
                unknown.setdefault(text, name)
            elif name.number is None:
                has_all = True
            else:
                mask |= 1 << name.number
        masks[field] = available if has_all else mask
    return _Asked(sets=CapabilitySets(**masks), unknown=tuple(unknown.values()))


def _clip(asked: CapabilitySets, room: Room) -> CapabilitySets:
    """Return the sets within the kernel's rule for each.

    Inheritable is kept within bounding: a root exec gives ``bounding | inheritable``.
    """
    granted = asked.bounding & room.available
    permitted = asked.permitted & room.available
    inheritable = asked.inheritable & room.available & granted
    ambient = asked.ambient & permitted & inheritable
    return CapabilitySets(
        inheritable=inheritable,
        permitted=permitted,
        effective=asked.effective & permitted,
        bounding=granted if room.can_cut else room.bounding,
        ambient=0 if room.ambient_blocker else ambient,
    )


def _decide(case: _Case, number: int) -> CapabilityDecision:
    """Return the decision for one capability over all five sets."""
    room, environment = case.room, case.environment
    asking = tuple(field for field in SETS if getattr(case.asked.sets, field) >> number & 1)
    outcomes = {field: _outcome(case, field, number) for field in SETS}
    outcome, cause = _verdict(case, asking, outcomes)
    troubled = outcome in (Outcome.REFUSED, Outcome.WEAKENED)
    no_effect = room.user_namespace and bool(INITIAL_ONLY >> number & 1)
    if outcome is Outcome.GRANTED and no_effect:
        cause = CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE
    where = _where(environment, cause, number)
    return CapabilityDecision(
        number=number,
        name=name_of(number),
        asked_by=tuple(f"process.capabilities.{field}" for field in asking),
        intent=case.intent,
        outcome=outcome,
        inheritable=outcomes["inheritable"],
        permitted=outcomes["permitted"],
        effective=outcomes["effective"],
        bounding=outcomes["bounding"],
        ambient=outcomes["ambient"],
        scope=Scope.USERNS if room.user_namespace else Scope.OUTER,
        has_effect=not no_effect,
        cause=cause,
        detail=_words(environment, room, cause) if troubled else "",
        lost_at=where,
        remedy=_remedy(environment, cause, number, where) if troubled else "",
    )


def _outcome(case: _Case, field: str, number: int) -> SetOutcome:
    """Return whether one capability is in one set, and why not."""
    room = case.room
    wanted = bool(getattr(case.asked.sets, field) >> number & 1)
    if getattr(case.sets, field) >> number & 1:
        kept = CapabilityCause.NONE if wanted else CapabilityCause.NEEDS_SETPCAP
        return SetOutcome(given=True, cause=kept)
    if not wanted:
        return SetOutcome(given=False, cause=CapabilityCause.NOT_ASKED)
    if not room.available >> number & 1:
        return SetOutcome(given=False, cause=missing_cause(room, number))
    if field == "ambient" and room.ambient_blocker:
        return SetOutcome(given=False, cause=CapabilityCause.NOT_AMBIENT)
    if field == "ambient" and not case.sets.inheritable >> number & 1:
        return SetOutcome(given=False, cause=CapabilityCause.NOT_INHERITABLE)
    return SetOutcome(given=False, cause=CapabilityCause.PROFILE_LIMIT)


def _verdict(
    case: _Case, asking: tuple[str, ...], outcomes: dict[str, SetOutcome]
) -> tuple[Outcome, CapabilityCause]:
    """Return the outcome over all sets, and the cause of the first that is not as asked."""
    causes = [outcomes[field].cause for field in asking if not outcomes[field].given]
    if outcomes["bounding"].cause is CapabilityCause.NEEDS_SETPCAP:
        causes.append(CapabilityCause.NEEDS_SETPCAP)
    if causes:
        strict = case.intent is Intent.STRICT
        return (Outcome.REFUSED if strict else Outcome.WEAKENED), causes[0]
    if asking:
        return Outcome.GRANTED, CapabilityCause.NONE
    return Outcome.NOT_ASKED, CapabilityCause.NOT_ASKED


def _where(environment: OuterEnvironment, cause: CapabilityCause, number: int) -> str:
    """Return where the capability was lost, when it was lost outside."""
    if cause is CapabilityCause.NOT_IN_OUTER_BOUNDING:
        return lost_at(environment, number)
    if cause is CapabilityCause.NOT_IN_OUTER_PERMITTED:
        return lost_at(environment, number, permitted=True)
    return ""


_CONTRADICTIONS: Final = {
    CapabilityCause.PROFILE_LIMIT: "another of the five lists, which limits this one, lacks it",
    CapabilityCause.NOT_INHERITABLE: "an ambient capability must be in inheritable too",
}


def _words(environment: OuterEnvironment, room: Room, cause: CapabilityCause) -> str:
    """Return the cause in words, with the fact that decided."""
    return _CONTRADICTIONS.get(cause) or absent_words(environment, room, cause)


def _remedy(environment: OuterEnvironment, cause: CapabilityCause, number: int, where: str) -> str:
    """Return what to change: in the config itself or in the outer environment."""
    name = name_of(number)
    if cause in _CONTRADICTIONS:
        return f"add {name} to inheritable, permitted and bounding of process.capabilities"
    return remedy(cause, (name,), where=where, engine=engine_kind(environment))


def _unknown(case: _Case, name: BadName) -> CapabilityDecision:
    """Return the decision for a name that means nothing; its number is -1."""
    none = SetOutcome(given=False, cause=CapabilityCause.UNKNOWN_NAME)
    strict = case.intent is Intent.STRICT
    hint = f" (did you mean CAP_{name.suggestion}?)" if name.suggestion else ""
    return CapabilityDecision(
        number=-1,
        name=name.text,
        asked_by=("process.capabilities",),
        intent=case.intent,
        outcome=Outcome.REFUSED if strict else Outcome.WEAKENED,
        inheritable=none,
        permitted=none,
        effective=none,
        bounding=none,
        ambient=none,
        scope=Scope.USERNS if case.room.user_namespace else Scope.OUTER,
        has_effect=False,
        cause=CapabilityCause.UNKNOWN_NAME,
        detail=f"{shown(name.text)} {name.cause}{hint}",
        remedy=f"leave {shown(name.text)} out of process.capabilities",
    )


def _warnings(decisions: tuple[CapabilityDecision, ...]) -> tuple[str, ...]:
    """Return one warning for each capability that is not as the config has it."""
    return tuple(_warning(one) for one in decisions if one.outcome is Outcome.WEAKENED)


def _warning(one: CapabilityDecision) -> str:
    """Return the warning; what runc warns about as well begins as there."""
    if one.cause is CapabilityCause.NOT_INHERITABLE:
        return f"can't raise ambient capability {one.name}: {one.detail}"
    name = one.name if one.number >= 0 else shown(one.name)
    sets = [field for field in SETS if one.number >= 0 and not getattr(one, field).given]
    asked = [field for field in sets if f"process.capabilities.{field}" in one.asked_by]
    where = f" ({', '.join(asked)})" if asked else ""
    return f"capability {name} left out or changed{where}: {one.detail}"
