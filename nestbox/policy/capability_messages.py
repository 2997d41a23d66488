"""What a person is told about a capability resolution: the refusal and the notices. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.errors import Refused
from nestbox.policy.capability_remedies import remedy
from nestbox.policy.capability_wish import mask_names
from nestbox.policy.decision import CapabilityCause, Intent, Outcome
from nestbox.policy.prediction import missing_for_exec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestbox.outer.facts import Program
    from nestbox.policy.capabilities import CapabilityResolution
    from nestbox.policy.decision import CapabilityDecision

_IN_WORDS = {
    CapabilityCause.NOT_IN_OUTER_BOUNDING: "not in the outer bounding set",
    CapabilityCause.NOT_IN_OUTER_PERMITTED: "not in the outer permitted set",
    CapabilityCause.NEWER_THAN_KERNEL: "newer than this kernel",
    CapabilityCause.NEEDS_SETPCAP: "without CAP_SETPCAP it cannot be removed",
    CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE: "no effect in a user namespace",
    CapabilityCause.NOT_AMBIENT: "cannot be ambient here",
}


def refusal(resolution: CapabilityResolution) -> Refused | None:
    """Return one error that lists all that was asked for strictly and is not met; None if none."""
    if not resolution.problems:
        return None
    kept = [one for one in resolution.problems if one.cause is CapabilityCause.NEEDS_SETPCAP]
    absent = [one for one in resolution.problems if one.cause is not CapabilityCause.NEEDS_SETPCAP]
    what = []
    if absent:
        what.append(f"cannot grant {_names(absent)}")
    if kept:
        what.append(f"cannot remove {_names(kept)}")
    causes, remedies = [], []
    for group in _groups(resolution.problems):
        first = group[0]
        where = f", lost at {first.lost_at}" if first.lost_at else ""
        causes.append(f"{_names(group)} {_askers(group)}: {first.detail}{where}")
        names = tuple(one.name for one in group)
        remedies.append(
            remedy(
                first.cause,
                names,
                where=first.lost_at,
                engine=resolution.engine,
                holder=resolution.holder,
            )
        )
    hint = _lenient_hint(absent)
    return Refused(
        " and ".join(what),
        cause="; ".join(causes),
        remedy="; ".join(remedies) + (f"; {hint}" if hint else ""),
    )


def absent_line(resolution: CapabilityResolution, container: str = "NAME") -> str | None:
    """Return the line for stderr that names what was implied and is absent; None when nothing is.

    ``nestbox: privileged without CAP_SYS_BOOT (not in the outer bounding set; nestbox explain X)``
    """
    absent = [
        one
        for one in resolution.decisions
        if one.outcome is Outcome.WEAKENED and one.cause is not CapabilityCause.NEEDS_SETPCAP
    ]
    if not absent:
        return None
    parts = []
    for group in _groups(absent, by_place=False):
        words = _IN_WORDS.get(group[0].cause, str(group[0].cause))
        parts.append((_names(group), words))
    who = resolution.label.removeprefix("--")
    if len(parts) == 1:
        names, words = parts[0]
        return f"nestbox: {who} without {names} ({words}; nestbox explain {container})"
    listed = ", ".join(f"{names} ({words})" for names, words in parts)
    return f"nestbox: {who} without {listed} (nestbox explain {container})"


def notice_lines(resolution: CapabilityResolution, container: str = "NAME") -> tuple[str, ...]:
    """Return every line that stderr is to have before the launch: absent, kept, and the notes."""
    lines = []
    absent = absent_line(resolution, container)
    if absent:
        lines.append(absent)
    kept = [
        one
        for one in resolution.decisions
        if one.outcome is Outcome.WEAKENED and one.cause is CapabilityCause.NEEDS_SETPCAP
    ]
    if kept:
        lines.append(
            f"nestbox: the container's bounding set keeps {_names(kept)} ({kept[0].detail}; "
            f"nestbox explain {container})"
        )
    lines.extend(f"nestbox: {note}" for note in resolution.notes)
    return tuple(lines)


def exec_line(resolution: CapabilityResolution, program: Program | None) -> str | None:
    """Return the line that foretells that the program's exec will fail; None when it will not.

    A warning and no refusal: on a mount with ``nosuid`` the kernel ignores file capabilities.
    """
    missing = missing_for_exec(resolution.sets, program)
    if program is None or not missing:
        return None
    names = mask_names(missing)
    flags = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in names.split(", "))
    return (
        f"nestbox: {program.path!a} will not start (EPERM): its file capabilities demand {names}, "
        f"which the container's bounding set has not (use {flags}, or setcap -r on a copy)"
    )


def _groups(
    decisions: Iterable[CapabilityDecision], *, by_place: bool = True
) -> list[list[CapabilityDecision]]:
    """Return the decisions in groups of one cause, and of one place where it was lost."""
    groups: dict[tuple[str, str, str], list[CapabilityDecision]] = {}
    for one in decisions:
        place = (one.lost_at, one.detail) if by_place else ("", "")
        groups.setdefault((one.cause, *place), []).append(one)
    return list(groups.values())


def _names(decisions: Iterable[CapabilityDecision]) -> str:
    """Return the names, comma separated."""
    return ", ".join(one.name for one in decisions)


def _askers(decisions: list[CapabilityDecision]) -> str:
    """Return who asked, in brackets, each once."""
    askers = dict.fromkeys(asker for one in decisions for asker in one.asked_by)
    return f"({', '.join(askers)})" if askers else "(not asked for)"


def _lenient_hint(absent: list[CapabilityDecision]) -> str:
    """Return how to ask leniently for what a flag named."""
    flags = []
    for one in absent:
        flags += [by for by in one.asked_by if by.startswith("--cap-add ") and by[-1] != "?"]
    if not flags or any(one.intent is not Intent.STRICT for one in absent):
        return ""
    wanted = " ".join(f"{flag}?" for flag in flags)
    return f"or take what there is: {wanted}"
