"""The table of ``nestbox caps`` as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.doctor.layout import paragraph
from nestbox.doctor.outlook import Outlook, Outlooks, Prospect

if TYPE_CHECKING:
    from nestbox.doctor.layout import Page

_CELLS: Final = {
    Prospect.GIVEN: ("yes", "green"),
    Prospect.USERNS: ("ns", "yellow"),
    Prospect.NO_EFFECT: ("void", "yellow"),
    Prospect.MISSING: ("no", "red"),
    Prospect.KEPT: ("kept", "yellow"),
    Prospect.NOT_ASKED: ("-", "dim"),
}
_LEGEND: Final = {
    Prospect.GIVEN: "yes: given",
    Prospect.USERNS: "ns: given over the container's own user namespace only",
    Prospect.NO_EFFECT: "void: held, but the kernel checks the initial user namespace",
    Prospect.MISSING: "no: asked for and not to be had (nestbox doctor says why)",
    Prospect.KEPT: "kept: not asked for, yet it stays in the bounding set",
    Prospect.NOT_ASKED: "-: not asked for",
}
_HEADS: Final = {"privileged": "priv", "default": "def", "minimal": "min"}
_CELL: Final = 4  # columns of one profile
_NAME: Final = 22  # CAP_CHECKPOINT_RESTORE
_LEAST_PURPOSE: Final = 20  # below that the purpose goes on a line of its own


def render_outlooks(table: Outlooks, page: Page) -> str:
    """Return the table as text with a closing newline, at most as wide as the page."""
    heads = " ".join(_head(name).ljust(_CELL) for name in table.profiles)
    head = f"nr {'name'.ljust(_NAME)} kern outer {heads} "
    beside = page.width - len(head) >= _LEAST_PURPOSE
    lines = [(head + ("what it is for" if beside else "")).rstrip()]
    for outlook in table.capabilities:
        lines += _row(outlook, table.profiles, page, len(head) if beside else None)
    return "\n".join([*lines, "", *_legend(table, page)]) + "\n"


def _head(profile: str) -> str:
    return _HEADS.get(profile, profile[:_CELL])


def _row(outlook: Outlook, profiles: tuple[str, ...], page: Page, column: int | None) -> list[str]:
    cells = []
    for name in profiles:
        word, colour = _CELLS[outlook.profiles[name].prospect]
        cells.append(page.paint(word.ljust(_CELL), colour))
    kernel = "yes " if outlook.kernel else "no  "
    start = f"{outlook.number:2} {outlook.name.ljust(_NAME)} {kernel} {outlook.outer.letters} "
    start += " ".join(cells)
    if column is None:
        return [start.rstrip(), *paragraph(outlook.purpose, page, first="   ", indent=3)]
    blank = " " * column
    first, *more = paragraph(outlook.purpose, page, first=blank, indent=column)
    return [f"{start} {first[column:]}".rstrip(), *more]


def _legend(table: Outlooks, page: Page) -> list[str]:
    """Return what the letters and those words mean that stand in the table."""
    used = {cell.prospect for outlook in table.capabilities for cell in outlook.profiles.values()}
    words = "; ".join(text for prospect, text in _LEGEND.items() if prospect in used)
    names = ", ".join(f"{_head(name)} is {name}" for name in table.profiles)
    outer = "outer: our own sets - Inheritable, Permitted, Effective, Bounding, Ambient"
    return [
        *paragraph(outer, page, indent=2),
        *paragraph(f"profiles: {names}", page, indent=2),
        *paragraph(words, page, indent=2),
    ]
