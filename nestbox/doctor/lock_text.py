"""What is not as a lock says, as text: those of one cause and place together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.doctor.layout import labelled, paragraph

if TYPE_CHECKING:
    from nestbox.doctor.layout import Page
    from nestbox.doctor.lock import Change


def render_changes(changed: tuple[Change, ...], page: Page) -> str:
    """Return them as text with a closing newline."""
    groups: dict[tuple[bool, str, str, str], list[Change]] = {}
    for one in changed:
        groups.setdefault((one.gained, one.profile, one.cause, one.lost_at), []).append(one)
    lines: list[str] = []
    for same in groups.values():
        first = same[0]
        sign, colour = ("+", "green") if first.gained else ("-", "red")
        names = ", ".join(one.capability for one in same)
        head = paragraph(f"{sign} {first.profile}: {names}", page, indent=2)
        lines += [page.paint(line, colour) for line in head]
        lines += labelled("because", first.cause, page)
        lines += labelled("lost at", first.lost_at, page)
        several = "nestbox doctor says what brings them back"
        lines += labelled("try", several if first.remedy and len(same) > 1 else first.remedy, page)
    return "\n".join(line.rstrip() for line in lines) + "\n"
