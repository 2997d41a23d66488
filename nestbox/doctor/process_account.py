"""What a process has of every capability, and where on the way to it the others were lost. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.doctor.layout import labelled, paragraph, shortened
from nestbox.kernel.capabilities import mask_up_to, names_in
from nestbox.outer.facts import CapabilitySets, Engine, EngineKind, Identity, OuterEnvironment
from nestbox.policy.capability_remedies import lost_at, remedy
from nestbox.policy.decision import CapabilityCause

if TYPE_CHECKING:
    from nestbox.doctor.layout import Page
    from nestbox.outer.process import ProcessFacts

SCHEMA: Final = 1  # of the JSON form
_SETS: Final = ("inheritable", "permitted", "effective", "bounding", "ambient")
_COLUMN: Final = 15
_SHOWN_LIMITS: Final = ("Max open files", "Max processes", "Max locked memory")


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """The capabilities that a process lacks by one cause and from one place on."""

    names: tuple[str, ...]
    cause: CapabilityCause
    lost_at: str
    remedy: str


class ProcessAccount(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``nestbox explain --pid`` answers."""

    schema: int = SCHEMA
    facts: ProcessFacts
    last: int  # the highest capability of this kernel
    container: str  # of nestbox, empty for none
    absent: tuple[Absence, ...]


def account_of_process(
    facts: ProcessFacts, *, last: int, container: str = "", engine: EngineKind = EngineKind.NONE
) -> ProcessAccount:
    """Return the account; the remedy speaks to the engine that is around us."""
    sets, known = facts.itself.sets, mask_up_to(last)
    unbound = known & ~sets.bounding
    groups = (
        (CapabilityCause.NOT_IN_OUTER_BOUNDING, unbound),
        (CapabilityCause.NOT_IN_OUTER_PERMITTED, known & sets.bounding & ~sets.permitted),
    )
    absent: list[Absence] = []
    for cause, mask in groups:
        absent += _absences(facts, cause, mask, engine)
    return ProcessAccount(facts=facts, last=last, container=container, absent=tuple(absent))


def _absences(
    facts: ProcessFacts, cause: CapabilityCause, mask: int, engine: EngineKind
) -> list[Absence]:
    environment = OuterEnvironment(
        ancestry=facts.above,
        identity=Identity(
            uid=facts.uids[1], gid=facts.gids[1], groups=(), pid=facts.itself.pid, umask=0
        ),
        engine=Engine(kind=engine, evidence=(), runner=None),
    )
    permitted = cause is CapabilityCause.NOT_IN_OUTER_PERMITTED
    places: dict[str, list[str]] = {}
    for number in range(mask.bit_length()):
        if mask >> number & 1:
            place = lost_at(environment, number, permitted=permitted)
            own = f"pid {facts.itself.pid} (this process)"
            place = place.replace(own, f"pid {facts.itself.pid} itself")
            places.setdefault(place, []).extend(names_in(1 << number))
    return [
        Absence(
            names=tuple(names),
            cause=cause,
            lost_at=place,
            remedy=remedy(cause, tuple(names), where=place, engine=engine).replace(
                "start nestbox", "start it"
            ),
        )
        for place, names in places.items()
    ]


def render_process(account: ProcessAccount, page: Page) -> str:
    """Return the account as text with a closing newline."""
    facts = account.facts
    head = f"process {facts.itself.pid} ({facts.itself.name}): uid {facts.uids[1]}"
    if account.container:
        head += f", in container {account.container} (nestbox explain {account.container})"
    lines = [*paragraph(head, page, indent=2), ""]
    for name in _SETS:
        lines += labelled(name, _set(facts.itself.sets, name, account.last), page, column=_COLUMN)
    lines += _surroundings(facts, page)
    for one in account.absent:
        lines += ["", *_absence(one, page)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _set(sets: CapabilitySets, name: str, last: int) -> str:
    mask: int = getattr(sets, name)
    names, absent = names_in(mask), names_in(mask_up_to(last) & ~mask)
    if not names:
        return f"{mask:016x} none"
    if not absent:
        return f"{mask:016x} all {len(names)}"
    if len(absent) < len(names):
        return f"{mask:016x} {len(names)}, all but {' '.join(absent)}"
    return f"{mask:016x} {' '.join(names)}"


def _surroundings(facts: ProcessFacts, page: Page) -> list[str]:
    itself = facts.itself
    filters = "none" if itself.seccomp_mode == 0 else f"mode {itself.seccomp_mode}"
    if facts.filters:
        filters += f", {facts.filters} filter{'s' if facts.filters > 1 else ''}"
    shared = [name for name in facts.namespaces if name not in facts.foreign]
    limits = "; ".join(
        f"{name} {' of '.join(facts.limits[name])}"
        for name in _SHOWN_LIMITS
        if name in facts.limits
    )
    rows = (
        ("no_new_privs", "yes" if itself.no_new_privs else "no"),
        ("seccomp", filters),
        ("label", facts.label or "none"),
        ("namespaces", f"its own: {' '.join(facts.foreign) or 'none'}"),
        ("", f"as ours: {' '.join(shared) or 'none'}"),
        ("cgroup", " ".join(facts.cgroups[-1:]) or "not visible"),
        ("limits", limits),
    )
    return [line for label, text in rows for line in labelled(label, text, page, column=_COLUMN)]


def _absence(one: Absence, page: Page) -> list[str]:
    what = {
        CapabilityCause.NOT_IN_OUTER_BOUNDING: "not in its bounding set",
        CapabilityCause.NOT_IN_OUTER_PERMITTED: "not in its permitted set",
    }[one.cause]
    first = page.paint("missing".ljust(10), "yellow")
    head = paragraph(shortened(", ".join(one.names)), page, first=" " * 10, indent=10)
    return [
        first + head[0][10:],
        *head[1:],
        *labelled("because", what, page),
        *labelled("lost at", one.lost_at, page),
        *labelled("try", shortened(one.remedy), page),
    ]
