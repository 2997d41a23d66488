"""Everything that doctor shows of one environment in pictures: who holds what, and each ladder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.doctor.examine import examine
from nestbox.doctor.outlook import Outlooks, foresee
from nestbox.doctor.rehearsal import rehearse
from nestbox.doctor.report import Report
from nestbox.outer.facts import CapabilitySets
from nestbox.policy.decision import Decision

if TYPE_CHECKING:
    from nestbox.doctor.rehearsal import Rehearsal
    from nestbox.doctor.shipped import Shipped
    from nestbox.outer.facts import OuterEnvironment


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process between PID 1 and this one, and the sets it holds."""

    label: str  # "pid 1 (init)"
    sets: CapabilitySets


class Ladders(msgspec.Struct, frozen=True, kw_only=True):
    """The rung that one rehearsed launch would stand on, for each aspect."""

    label: str  # "privileged", "--userns auto"
    decisions: tuple[Decision, ...]


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """A report, and what it was made from as far as it can be drawn."""

    report: Report
    outlooks: Outlooks | None  # None: the capabilities were not observed
    holders: tuple[Holder, ...]  # PID 1 first; without this process, whose sets are in outlooks
    ladders: tuple[Ladders, ...]


def overview(environment: OuterEnvironment, shipped: Shipped, *, whole: bool = True) -> Overview:
    """Return all of it, from the same functions as a launch; see `examine` for the whole."""
    observed = environment.capabilities is not None
    return Overview(
        report=examine(environment, shipped, whole=whole),
        outlooks=foresee(environment, shipped.profiles) if observed else None,
        holders=_holders(environment),
        ladders=tuple(
            _ladders(one)
            for one in rehearse(environment, shipped, flags=whole)
            if one.resolution is not None
        ),
    )


def _holders(environment: OuterEnvironment) -> tuple[Holder, ...]:
    """Return PID 1 and each ancestor whose sets are others than its parent's."""
    holders: list[Holder] = []
    for ancestor in reversed(environment.ancestry or ()):
        if not holders or holders[-1].sets != ancestor.sets:
            label = f"pid {ancestor.pid} ({ancestor.name})"
            holders.append(Holder(label=label, sets=ancestor.sets))
    return tuple(holders)


def _ladders(rehearsal: Rehearsal) -> Ladders:
    decisions = rehearsal.resolution.decisions if rehearsal.resolution else ()
    return Ladders(label=rehearsal.label, decisions=decisions)
