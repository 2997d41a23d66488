"""What a record says of every capability, completed by the sets that were really there. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.doctor.outlook import Membership, membership
from nestbox.kernel.capabilities import purpose_of
from nestbox.outer.facts import CapabilitySets
from nestbox.policy.capability_decisions import engine_kind
from nestbox.policy.capability_remedies import remedy
from nestbox.policy.decision import CapabilityCause, CapabilityDecision, Decision, Outcome

if TYPE_CHECKING:
    from nestbox.outer.facts import EngineKind
    from nestbox.runtime.record import Record

SCHEMA = 1  # of the JSON form

_ORDER = (
    Outcome.REFUSED,
    Outcome.WEAKENED,
    Outcome.DROPPED,
    Outcome.GRANTED,
    Outcome.NOT_ASKED,
)


class CapabilityAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One capability of one launch: what was decided, and where it was and will be."""

    decision: CapabilityDecision
    purpose: str
    read_back: Membership | None  # before exec; None: the launch failed before
    after_exec: Membership  # predicted


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """The capabilities that got less than was asked, by one cause and at one place."""

    names: tuple[str, ...]
    outcome: Outcome
    asked_by: tuple[str, ...]
    cause: CapabilityCause
    detail: str
    lost_at: str
    remedy: str  # for all of them


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``nestbox explain`` answers about one launch."""

    schema: int = SCHEMA
    container: str
    created: str
    profile: str
    command: tuple[str, ...]
    exit_code: int | None
    error: str
    decisions: tuple[Decision, ...]  # of the other aspects, those that got less first
    losses: tuple[Loss, ...]
    capabilities: tuple[CapabilityAccount, ...]
    sets: CapabilitySets | None  # read back before exec
    after_exec: CapabilitySets  # predicted
    status: str = ""  # of a container of an engine: that of runtime-spec, or "deleted"


def account_of(
    record: Record, numbers: frozenset[int] | None = None, *, status: str = ""
) -> Account:
    """Return the account of a launch, of these capabilities or of all."""
    return Account(
        status=status,
        container=record.id,
        created=record.created,
        profile=record.profile,
        command=record.command,
        exit_code=record.exit_code,
        error=record.error,
        decisions=weakest_first(record.decisions),
        losses=losses_of(record.capabilities, engine_kind(record.environment)),
        capabilities=tuple(
            CapabilityAccount(
                decision=decision,
                purpose=purpose_of(decision.number),
                read_back=membership(record.sets, decision.number) if record.sets else None,
                after_exec=membership(record.after_exec, decision.number),
            )
            for decision in record.capabilities
            if numbers is None or decision.number in numbers
        ),
        sets=record.sets,
        after_exec=record.after_exec,
    )


def losses_of(decisions: tuple[CapabilityDecision, ...], engine: EngineKind) -> tuple[Loss, ...]:
    """Return what got less than was asked, with one remedy for each group."""
    groups: dict[tuple[str, ...], list[CapabilityDecision]] = {}
    for decision in decisions:
        if decision.outcome in {Outcome.WEAKENED, Outcome.REFUSED}:
            key = (decision.outcome, decision.cause, decision.detail, decision.lost_at)
            groups.setdefault(key, []).append(decision)
    losses = []
    for group in groups.values():
        first, names = group[0], tuple(decision.name for decision in group)
        askers = dict.fromkeys(asker for decision in group for asker in decision.asked_by)
        losses.append(
            Loss(
                names=names,
                outcome=first.outcome,
                asked_by=tuple(askers),
                cause=first.cause,
                detail=first.detail,
                lost_at=first.lost_at,
                remedy=remedy(first.cause, names, where=first.lost_at, engine=engine),
            )
        )
    return tuple(losses)


def weakest_first(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    """Return the decisions with those that gave less first, each outcome in its given order."""
    return tuple(sorted(decisions, key=lambda decision: _ORDER.index(decision.outcome)))


def given(decision: CapabilityDecision) -> Membership:
    """Return in which sets a capability was decided to be."""
    return Membership(
        inheritable=decision.inheritable.given,
        permitted=decision.permitted.given,
        effective=decision.effective.given,
        bounding=decision.bounding.given,
        ambient=decision.ambient.given,
    )
