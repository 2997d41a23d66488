"""What differs between two environments: two machines, or one before and after a change. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nestbox.doctor.layout import labelled, paragraph
from nestbox.doctor.report import Check, Verdict
from nestbox.kernel.capabilities import names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestbox.doctor.layout import Page
    from nestbox.doctor.overview import Overview
    from nestbox.outer.facts import OuterEnvironment

SCHEMA: Final = 1  # of the JSON form

_SETS: Final = ("bounding", "permitted", "effective", "inheritable", "ambient")
# Another number at each start, or told elsewhere: the sets by name, the mounts by their places.
_PASSING: Final = (
    "ancestry",
    "capabilities.sets",
    "cgroup.hierarchies",
    "engine.evidence",
    "identity.pid",
    "kernel.boot_id",
    "mounts",
    "namespaces.own",
    "storage.free_bytes",
    "user_namespace.inode",
)


class Kind(StrEnum):
    """What a difference is about, in the order in which they are shown."""

    PROFILE = "profile"
    CAPABILITY = "capability"
    FINDING = "finding"
    FACT = "fact"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not alike; empty where an environment has nothing of it."""

    kind: Kind
    subject: str
    before: str
    after: str
    remedy: str = ""  # of a finding that is new


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """All that differs, what matters most first."""

    schema: int = SCHEMA
    found: tuple[Difference, ...]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two environments, and what doctor says of it."""

    environment: OuterEnvironment
    seen: Overview


def differences(before: Side, after: Side) -> Differences:
    """Return what differs; what changes from one start of nestbox to the next is left out."""
    return Differences(
        found=(
            *_profiles(before.seen, after.seen),
            *_capabilities(before.environment, after.environment),
            *_findings(before.seen, after.seen),
            *_facts(before.environment, after.environment),
        )
    )


def _profiles(before: Overview, after: Overview) -> Iterator[Difference]:
    old, new = _what_profiles_do(before), _what_profiles_do(after)
    yield from _of_texts(Kind.PROFILE, old, new)


def _what_profiles_do(seen: Overview) -> dict[str, str]:
    texts = (line.partition(": ") for line in seen.report.summary[1:])
    return {name: text for name, _, text in texts}


def _capabilities(before: OuterEnvironment, after: OuterEnvironment) -> Iterator[Difference]:
    """Yield a difference for the sets that have lost and gained the same ones."""
    if before.capabilities is None or after.capabilities is None:
        return
    changed: dict[tuple[str, str], list[str]] = {}
    for name in _SETS:
        old, new = (getattr(side.sets, name) for side in (before.capabilities, after.capabilities))
        if old != new:
            lost, gained = names_in(old & ~new), names_in(new & ~old)
            changed.setdefault((", ".join(lost), ", ".join(gained)), []).append(name)
    for (lost_names, gained_names), sets in changed.items():
        yield Difference(
            kind=Kind.CAPABILITY,
            subject=", ".join(sets),
            before=lost_names,
            after=gained_names,
        )


def _findings(before: Overview, after: Overview) -> Iterator[Difference]:
    old, new = _findings_of(before), _findings_of(after)
    for key in (*old, *(key for key in new if key not in old)):
        if key in old and key in new:
            continue
        check = old.get(key) or new[key]
        told = f"{check.what}: {check.cause}" if check.cause else check.what
        yield Difference(
            kind=Kind.FINDING,
            subject=f"{check.group}: {check.subject}",
            before=told if key in old else "",
            after=told if key in new else "",
            remedy=check.remedy if key in new else "",
        )


def _findings_of(seen: Overview) -> dict[tuple[str, ...], Check]:
    return {
        (check.group, check.subject, check.what, check.cause): check
        for check in seen.report.checks
        if check.verdict is not Verdict.OK and check.group != "profiles"
    }


def _facts(before: OuterEnvironment, after: OuterEnvironment) -> Iterator[Difference]:
    yield from _of_texts(Kind.FACT, _texts(before), _texts(after))


def _of_texts(kind: Kind, old: dict[str, str], new: dict[str, str]) -> Iterator[Difference]:
    for subject in dict.fromkeys((*old, *new)):
        first, second = old.get(subject, ""), new.get(subject, "")
        if first != second:
            yield Difference(kind=kind, subject=subject, before=first, after=second)


def _texts(environment: OuterEnvironment) -> dict[str, str]:
    """Return every fact as text, by its path."""
    texts = dict(_leaves("", msgspec.to_builtins(environment)))
    for mount in environment.mounts or ():
        texts[f"mount {mount.target}"] = f"{mount.fstype} {','.join(sorted(mount.options))}"
    for hierarchy in environment.cgroup.hierarchies if environment.cgroup else ():
        controllers = ",".join(sorted(hierarchy.controllers)) or "none"
        access = "writable" if hierarchy.writable else "not writable"
        texts[f"cgroup {hierarchy.mountpoint}"] = f"v{hierarchy.version} {controllers}, {access}"
    return texts


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield each value below, lists of plain values as one."""
    if path.startswith(_PASSING):
        return
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), below)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, below in enumerate(value):
            yield from _leaves(f"{path}[{number}]", below)
    elif value is not None:
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def render_differences(table: Differences, page: Page) -> str:
    """Return them as text with a closing newline: what was, and what is."""
    if not table.found:
        return "nothing differs\n"
    lines: list[str] = []
    for one in table.found:
        lines += paragraph(f"{one.kind}: {one.subject}", page, indent=2)
        lines += [page.paint(line, "red") for line in labelled("-", one.before, page, column=4)]
        lines += [page.paint(line, "green") for line in labelled("+", one.after, page, column=4)]
        lines += labelled("try", one.remedy, page)
    return "\n".join(line.rstrip() for line in lines) + "\n"
