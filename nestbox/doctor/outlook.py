"""What there is of every capability here, and what each shipped profile would give of it. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nestbox.doctor.rehearsal import observed, plain_request
from nestbox.kernel.capabilities import LAST_KNOWN, name_of, purpose_of
from nestbox.outer.facts import CapabilitySets, OuterEnvironment, Subject
from nestbox.policy.capabilities import CapabilityResolution, decide_capabilities
from nestbox.policy.capability_room import observed_capabilities
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.decision import CapabilityDecision, Outcome, Scope
from nestbox.policy.profile import Profile
from nestbox.policy.userns import decide_user_namespace

SCHEMA = 1  # of the JSON form

# What is observed to tell: the sets, the words for what is missing, and whether a launch needs a
# user namespace of its own.
SUBJECTS = frozenset(
    {
        Subject.KERNEL,
        Subject.CAPABILITIES,
        Subject.ANCESTRY,
        Subject.IDENTITY,
        Subject.USER_NAMESPACE,
        Subject.NAMESPACES,
        Subject.MOUNTS,
        Subject.SYSCTLS,
        Subject.TOOLS,
        Subject.ENGINE,
    }
)


class Prospect(StrEnum):
    """What a profile's container would have of a capability."""

    GIVEN = "given"
    USERNS = "userns"  # over the user namespace that the container gets
    NO_EFFECT = "no-effect"  # held, but the kernel checks the initial user namespace
    MISSING = "missing"  # asked for and not to be had
    KEPT = "kept"  # not asked for, and yet it stays in the bounding set
    NOT_ASKED = "not-asked"


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """In which of the five sets one capability is."""

    inheritable: bool
    permitted: bool
    effective: bool
    bounding: bool
    ambient: bool

    @property
    def letters(self) -> str:
        """Five letters, ``IPEBA``, with a dash for each set that lacks it."""
        held = (self.inheritable, self.permitted, self.effective, self.bounding, self.ambient)
        return "".join(
            letter if given else "-" for letter, given in zip("IPEBA", held, strict=True)
        )


class Profiled(msgspec.Struct, frozen=True, kw_only=True):
    """What one profile would give of one capability."""

    prospect: Prospect
    cause: str
    detail: str
    lost_at: str
    remedy: str


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """One capability: what it is, where it is held outside, what each profile would give."""

    number: int
    name: str
    purpose: str
    kernel: bool  # this kernel has it
    outer: Membership
    profiles: dict[str, Profiled]


class Outlooks(msgspec.Struct, frozen=True, kw_only=True):
    """The table of ``nestbox caps``."""

    schema: int = SCHEMA
    last: int  # the highest capability of this kernel
    profiles: tuple[str, ...]  # the columns, in order
    capabilities: tuple[Outlook, ...]


def membership(sets: CapabilitySets, number: int) -> Membership:
    """Return in which of the sets a capability is."""
    return Membership(
        inheritable=bool(sets.inheritable >> number & 1),
        permitted=bool(sets.permitted >> number & 1),
        effective=bool(sets.effective >> number & 1),
        bounding=bool(sets.bounding >> number & 1),
        ambient=bool(sets.ambient >> number & 1),
    )


def foresee(environment: OuterEnvironment, profiles: tuple[Profile, ...]) -> Outlooks:
    """Return the table, decided by the rules of a launch for each profile.

    Raises:
        EnvironmentUnreadable: the capabilities were not observed.
    """
    facts = observed_capabilities(environment)
    resolutions = {profile.name: decide(environment, profile) for profile in profiles}
    count = max(LAST_KNOWN, facts.last) + 1
    return Outlooks(
        last=facts.last,
        profiles=tuple(resolutions),
        capabilities=tuple(
            Outlook(
                number=number,
                name=name_of(number),
                purpose=purpose_of(number),
                kernel=number <= facts.last,
                outer=membership(facts.sets, number),
                profiles={
                    name: _profiled(resolution.decision(number))
                    for name, resolution in resolutions.items()
                },
            )
            for number in range(count)
        ),
    )


def decide(environment: OuterEnvironment, profile: Profile) -> CapabilityResolution:
    """Return what a plain launch of a profile decides about capabilities.

    Raises:
        EnvironmentUnreadable: the capabilities were not observed.
    """
    return decide_capabilities(
        CapabilityAsk(
            base=profile.capabilities,
            profile=profile.name,
            privileged=profile.name == "privileged",
            new_user_namespace=_needs_user_namespace(environment, profile),
            no_new_privs=profile.no_new_privs,
        ),
        environment,
    )


def _needs_user_namespace(environment: OuterEnvironment, profile: Profile) -> bool:
    """Return whether the container would get a user namespace of its own, as far as is known."""
    if not observed(environment) >= SUBJECTS - {Subject.ANCESTRY, Subject.ENGINE, Subject.KERNEL}:
        return False
    return decide_user_namespace(plain_request(profile.name), profile, environment).new


def _profiled(decision: CapabilityDecision | None) -> Profiled:
    if decision is None:
        return Profiled(prospect=Prospect.NOT_ASKED, cause="", detail="", lost_at="", remedy="")
    return Profiled(
        prospect=prospect(decision),
        cause=decision.cause.value,
        detail=decision.detail,
        lost_at=decision.lost_at,
        remedy=decision.remedy,
    )


def prospect(decision: CapabilityDecision) -> Prospect:
    """Return what a decision comes to, in one word."""
    if decision.outcome is Outcome.GRANTED:
        if not decision.has_effect:
            return Prospect.NO_EFFECT
        return Prospect.USERNS if decision.scope is Scope.USERNS else Prospect.GIVEN
    if decision.bounding.given:
        return Prospect.KEPT
    if decision.outcome in {Outcome.WEAKENED, Outcome.REFUSED}:
        return Prospect.MISSING
    return Prospect.NOT_ASKED
