"""Decisions: what was asked, by whom, what was given, and why not more. Values only."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Intent(StrEnum):
    """How a request is meant: what is named is strict, what is implied is lenient."""

    STRICT = "strict"
    LENIENT = "lenient"


class Outcome(StrEnum):
    """What became of a request."""

    GRANTED = "granted"
    WEAKENED = "weakened"  # less than asked for, decided before launch
    REFUSED = "refused"  # asked for by name and not to be had: no launch
    DROPPED = "dropped"  # removed because that was asked for
    NOT_ASKED = "not-asked"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One aspect of a launch that is not a capability.

    ``cause`` and ``remedy`` are empty only when the outcome is GRANTED or NOT_ASKED.
    """

    subject: str  # "seccomp", "cgroup.memory", "mount /proc", "device /dev/fuse"
    request: str  # what was asked, as the user wrote it
    asked_by: str  # "--memory 64m", "profile default", "nestbox"
    intent: Intent
    outcome: Outcome
    chosen: str  # the rung or value that is used
    cause: str = ""
    remedy: str = ""


class CapabilityCause(StrEnum):
    """Why a capability is not in a set. The values are stable: records and scripts match them."""

    NONE = ""
    NOT_ASKED = "not-asked"
    REMOVED_BY_FLAG = "removed-by-flag"
    UNKNOWN_NAME = "unknown-name"
    NEWER_THAN_KERNEL = "newer-than-kernel"
    NOT_IN_OUTER_BOUNDING = "not-in-outer-bounding"
    NOT_IN_OUTER_PERMITTED = "not-in-outer-permitted"
    NEEDS_SETPCAP = "needs-setpcap"
    NOT_ROOT = "not-root"  # a non-root program has no effective set unless ambient or file caps
    NOT_AMBIENT = "not-ambient"  # ambient is filled only when it was asked for
    NOT_INHERITABLE = "not-inheritable"  # empty unless ambient asks for it (CVE-2022-24769)
    NO_NEW_PRIVS = "no-new-privs"
    NO_EFFECT_IN_USER_NAMESPACE = "no-effect-in-user-namespace"
    PROFILE_LIMIT = "profile-limit"


class Scope(StrEnum):
    """Over which user namespace a granted capability is power."""

    OUTER = "outer"
    USERNS = "userns"


class SetOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one capability is in one of the five sets, and if not, why not."""

    given: bool
    cause: CapabilityCause = CapabilityCause.NONE


class CapabilityDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one capability: who asked, what each set holds, why not more."""

    number: int
    name: str
    asked_by: tuple[str, ...]  # empty when nobody asked
    intent: Intent
    outcome: Outcome
    inheritable: SetOutcome
    permitted: SetOutcome
    effective: SetOutcome
    bounding: SetOutcome
    ambient: SetOutcome
    scope: Scope
    has_effect: bool  # false: granted over a user namespace, but the kernel checks the initial one
    cause: CapabilityCause = CapabilityCause.NONE
    detail: str = ""  # the cause in words, with the fact that decided
    lost_at: str = ""  # "pid 812 (containerd-shim)", the ancestor or layer that removed it
    remedy: str = ""
    note: str = ""  # "dropped, and was absent already"
