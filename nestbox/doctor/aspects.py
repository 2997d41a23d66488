"""Checks from decisions: what the policy would give less of, or not at all. Pure."""

from __future__ import annotations

from typing import Final

from nestbox.doctor.rehearsal import Rehearsal
from nestbox.doctor.report import Check, Group, Verdict
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.resolution import refusal

# By the beginning of a decision's subject; the first that fits holds.
_GROUPS: Final = (
    ("mount /sys/fs/cgroup", Group.CGROUPS),
    ("cgroup", Group.CGROUPS),
    ("user-namespace", Group.NAMESPACES),
    ("pid-namespace", Group.NAMESPACES),
    ("ipc-namespace", Group.NAMESPACES),
    ("uts-namespace", Group.NAMESPACES),
    ("hostname", Group.NAMESPACES),
    ("outer-masks", Group.MOUNTS),
    ("user", Group.NAMESPACES),
    ("group", Group.NAMESPACES),
    ("mount", Group.MOUNTS),
    ("root", Group.STORAGE),
    ("device", Group.DEVICES),
    ("network", Group.NETWORK),
    ("kernel", Group.SECCOMP),
    ("rlimit", Group.LIMITS),
    ("sysctl", Group.LIMITS),
)

# Wanted by few: without them a launch of any shipped profile is what it would be with them.
_OPTIONAL: Final = ("device ", "network", "user-namespace")


def group_of(subject: str) -> Group:
    """Return the group that a decision belongs to."""
    for beginning, group in _GROUPS:
        if subject.startswith(beginning):
            return group
    return Group.SECURITY


def check_profiles(rehearsals: tuple[Rehearsal, ...]) -> tuple[Check, ...]:
    """Return one check for each shipped profile: whether it starts, and with what less."""
    return tuple(_profile(one) for one in rehearsals if not one.by_name)


def _profile(rehearsal: Rehearsal) -> Check:
    label, resolution = rehearsal.label, rehearsal.resolution
    if resolution is None:
        subjects = ", ".join(rehearsal.unobserved)
        return Check(
            group=Group.PROFILES,
            subject=label,
            verdict=Verdict.UNKNOWN,
            what="cannot be told",
            cause=f"not observed: {subjects}",
            remedy="record the environment again: nestbox doctor --record FILE",
        )
    refused = [one.subject for one in resolution.refused]
    refused += [one.name for one in resolution.capabilities.problems]
    if refused:
        error = refusal(resolution)
        return Check(
            group=Group.PROFILES,
            subject=label,
            verdict=Verdict.MISSING,
            what=f"does not start, for want of: {', '.join(refused)}",
            cause=error.cause if error else "",
            remedy=error.remedy if error else "",
        )
    less = [one.subject for one in resolution.weakened]
    lacking = [
        one.name
        for one in resolution.capabilities.decisions
        if one.outcome is Outcome.WEAKENED and not one.bounding.given
    ]
    if not less and not lacking:
        return Check(
            group=Group.PROFILES, subject=label, verdict=Verdict.OK, what="starts as it is meant"
        )
    parts = []
    if lacking:
        few = ", ".join(lacking) if len(lacking) <= 2 else f"{len(lacking)} capabilities"
        parts.append(f"without {few}")
    if less:
        parts.append(f"with less: {', '.join(less)}")
    return Check(
        group=Group.PROFILES,
        subject=label,
        verdict=Verdict.DEGRADED,
        what=f"starts {'; '.join(parts)}",
        cause="; ".join(dict.fromkeys(one.cause for one in resolution.weakened)),
        remedy="see the findings of each aspect",
    )


def check_aspects(rehearsals: tuple[Rehearsal, ...]) -> tuple[Check, ...]:
    """Return a check for each thing that any rehearsed launch gets less of, each thing once."""
    found: dict[tuple[str, str], Check] = {}
    for rehearsal in rehearsals:
        if rehearsal.resolution is None:
            continue
        for decision in rehearsal.resolution.decisions:
            if decision.outcome not in {Outcome.WEAKENED, Outcome.REFUSED}:
                continue
            if rehearsal.by_name and not _is_own(rehearsal, decision):
                continue
            check = _check(rehearsal, decision)
            known = found.get((check.subject, check.remedy))
            found[check.subject, check.remedy] = check if known is None else _merged(known, check)
    return tuple(found.values())


def _is_own(rehearsal: Rehearsal, decision: Decision) -> bool:
    """Return whether a decision comes of the flags, not of the profile that they are added to."""
    if rehearsal.label.startswith("-"):
        return True
    return decision.asked_by.startswith("-") and not decision.asked_by.startswith("--rootfs")


def _check(rehearsal: Rehearsal, decision: Decision) -> Check:
    refused = decision.outcome is Outcome.REFUSED
    nested = rehearsal.label.startswith("--userns")
    optional = rehearsal.by_name and (nested or decision.subject.startswith(_OPTIONAL))
    by_flag = rehearsal.by_name and decision.asked_by.startswith("-") and not nested
    asked = decision.asked_by if by_flag else _label(rehearsal)
    if by_flag and group_of(decision.subject) is Group.CGROUPS:
        asked = asked.partition(" ")[0]  # the value is only the one of the rehearsal
    return Check(
        group=group_of(decision.subject),
        subject=decision.subject,
        verdict=Verdict.MISSING if refused and not optional else Verdict.DEGRADED,
        what="not to be had" if refused else f"{decision.chosen}, not {decision.request}",
        cause=decision.cause,
        remedy=decision.remedy,
        affects=(asked,),
    )


def _label(rehearsal: Rehearsal) -> str:
    """Return who asks in a rehearsal: "--privileged", "profile default", "--userns auto"."""
    if rehearsal.by_name or rehearsal.resolution is None:
        return rehearsal.label
    return rehearsal.resolution.capabilities.label


def _merged(known: Check, more: Check) -> Check:
    """Return one check for two launches that meet the same obstacle: the worse one's verdict."""
    worse = more if more.verdict is Verdict.MISSING else known
    return Check(
        group=worse.group,
        subject=worse.subject,
        verdict=worse.verdict,
        what=worse.what,
        cause=worse.cause,
        remedy=worse.remedy,
        affects=tuple(dict.fromkeys((*known.affects, *more.affects))),
    )
