"""Which capabilities a container gets: the sets to make before its exec, and a decision for each.

The kernel's rules per set, in the same user namespace (capabilities(7), security/commoncap.c):

- **bounding** can only be cut, and only with CAP_SETPCAP. It is cut to what is granted, since a
  root exec gives ``bounding | inheritable`` whatever the other sets were before.
- **permitted** and **effective** hold at most what our own permitted set has. A capability that is
  in our bounding set alone is not granted, and leaves the bounding set: the container's root would
  regain it at its exec, and so have what we have not.
- **inheritable** and **ambient** are empty, but for an ambient set that was asked for
  (CVE-2022-24769, CVE-2016-8867).

A container of uid 0 has permitted = effective = bounding = granted before its exec. One of another
uid (or with SECBIT_NOROOT) has permitted, effective and inheritable empty but for the ambient ones,
and bounding = granted. Its exec computes permitted from bounding and the file capabilities alone,
so the first program gets exactly what its file says within what was granted. Other runtimes leave
the granted ones in permitted until that exec. This would add: the exec itself would be done with
power over files that the user has not; no_new_privs would not hold file capabilities back on the
first exec (they are clipped to the old permitted set); and a program with file capabilities would
stay dumpable (nothing seems gained), so that its user could trace it.

In a new user namespace all sets are full to begin with, CAP_SETPCAP among them, but the power is
over that namespace. A capability that the kernel checks against the initial one only has no effect
there: implied, it is granted and the decision says so; asked for strictly, it is refused, since
strict means that the power is given and not the bit. ``NAME?`` asks for the bit.

``policy: strict`` beside ``grant: ALL`` means every capability that this kernel has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.outer.facts import CapabilitySets, EngineKind
from nestbox.policy.capability_decisions import (
    INITIAL_ONLY,
    Given,
    Judge,
    decide_each,
    engine_kind,
    holder_of,
)
from nestbox.policy.capability_remedies import Holder
from nestbox.policy.capability_room import Room, measure_room
from nestbox.policy.decision import CapabilityDecision, Outcome, Scope

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.capability_wish import CapabilityAsk, Wish


class CapabilityResolution(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of every capability.

    ``bounding`` of ``sets`` is what is left after the drop; the other four are to be set as they
    are. ``granted`` is what policy gave: bounding holds more when it could not be cut.
    """

    decisions: tuple[CapabilityDecision, ...]  # by number: of the kernel, the table, and asked for
    sets: CapabilitySets
    drop_bounding: int  # mask
    granted: int  # mask
    scope: Scope
    problems: tuple[CapabilityDecision, ...]  # the refused ones; not empty means no launch
    label: str  # who asked for the base: "--privileged", "profile default"
    engine: EngineKind  # around us, for the remedies
    holder: Holder | None = None  # ourselves, for the remedies
    notes: tuple[str, ...] = ()  # what is as asked and yet may surprise

    def decision(self, number: int) -> CapabilityDecision | None:
        """Return the decision for one capability; None for a number that means nothing here."""
        for decision in self.decisions:
            if decision.number == number:
                return decision
        return None


def decide_capabilities(ask: CapabilityAsk, environment: OuterEnvironment) -> CapabilityResolution:
    """Return what becomes of every capability; ``problems`` tells whether the launch may go on.

    Raises:
        UsageError: bad names or flags that contradict each other; one error lists all of them.
        EnvironmentUnreadable: the capabilities of the outer environment were not observed.
    """
    # A configuration of an engine has its own way to ask, so that it does not pay for this one.
    from nestbox.policy.capability_wish import read_wish

    room = measure_room(
        environment,
        uid=ask.uid,
        new_user_namespace=ask.new_user_namespace,
        no_new_privs=ask.no_new_privs,
    )
    wish = read_wish(ask, room.known)
    given = _give(ask, wish, room)
    decisions = decide_each(Judge(wish=wish, room=room, given=given, environment=environment))
    return CapabilityResolution(
        decisions=decisions,
        sets=given.sets,
        drop_bounding=room.bounding & ~given.sets.bounding,
        granted=given.granted,
        scope=Scope.USERNS if room.user_namespace else Scope.OUTER,
        problems=tuple(one for one in decisions if one.outcome is Outcome.REFUSED),
        label=ask.label,
        engine=engine_kind(environment),
        holder=holder_of(environment),
        notes=_notes(ask, wish, room, given),
    )


def _give(ask: CapabilityAsk, wish: Wish, room: Room) -> Given:
    """Return what is given: asked for and available, and in which sets."""
    granted = wish.asked & room.available
    if room.user_namespace:
        granted &= ~(wish.strict & INITIAL_ONLY)
    wanted = 0
    if (ask.ambient or ask.base.ambient) and not room.acts_as_root:
        wanted = granted & wish.added
    ambient = 0 if room.ambient_blocker else wanted
    held = granted if room.acts_as_root else ambient
    return Given(
        granted=granted,
        ambient_refused=wanted & ~ambient,
        ambient_strict=ask.ambient,
        sets=CapabilitySets(
            inheritable=ambient,
            permitted=held,
            effective=held,
            bounding=granted if room.can_cut else room.bounding,
            ambient=ambient,
        ),
    )


def _notes(ask: CapabilityAsk, wish: Wish, room: Room, given: Given) -> tuple[str, ...]:
    """Return what is done as asked and yet may not be what was expected."""
    notes = []
    if ask.ambient and room.acts_as_root:
        notes.append("--ambient adds nothing for uid 0, which has its capabilities anyway")
    elif ask.ambient and not wish.added:
        notes.append("--ambient adds nothing: it takes what --cap-add names")
    latent = given.granted & wish.named & ~given.sets.ambient
    if latent and not room.acts_as_root:
        who = f"uid {ask.uid}" if ask.uid else "uid 0, which SECBIT_NOROOT makes a common user,"
        source = (
            "cannot gain them, since no_new_privs is set"
            if room.no_new_privs
            else "gains them from file capabilities only"
        )
        from nestbox.policy.capability_wish import mask_names

        notes.append(
            f"{mask_names(latent)}: in the bounding set, but {who} {source} (or use --ambient)"
        )
    return tuple(notes)
