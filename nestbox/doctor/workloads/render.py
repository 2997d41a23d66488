"""What doctor says of a workload, as text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.doctor.layout import labelled, paragraph, plain

if TYPE_CHECKING:
    from nestbox.doctor.layout import Page
    from nestbox.doctor.remedies.remedy import Remedy
    from nestbox.doctor.workloads.judge import ModeVerdict, WorkloadVerdict


def render_verdict(verdict: WorkloadVerdict, page: Page) -> str:
    """Return the verdict as text with a closing newline."""
    head = f"{verdict.name}: does not work here"
    if verdict.works:
        head = f"{verdict.name}: works here, in mode {verdict.mode}"
    lines = [page.paint(line, "bold") for line in paragraph(head, page)]
    lines += [*paragraph(verdict.about, page), ""]
    for mode in verdict.modes:
        lines += _mode(mode, page)
    if verdict.remedy is not None:
        lines += ["", *_remedy(verdict.remedy, verdict.nearest, page)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _mode(mode: ModeVerdict, page: Page) -> list[str]:
    word, colour = ("missing", "red") if mode.unmet else ("ok", "green")
    blank = " " * 10
    text = paragraph(f"{mode.name} - {mode.about}", page, first=blank, indent=10)
    lines = [page.paint(word.ljust(10), colour) + text[0][10:], *text[1:]]
    for unmet in mode.unmet:
        lines += labelled("because", unmet.cause, page)
        lines += labelled("for", unmet.need.why, page)
    return lines


def _remedy(remedy: Remedy, mode: str, page: Page) -> list[str]:
    """Return the least change that is enough; what is to be pasted is not wrapped."""
    lines = paragraph(f"to make mode {mode} work, change outside ({remedy.layer}):", page)
    if remedy.text:
        lines += ["", *(f"  {plain(line)}" for line in remedy.text.splitlines())]
    for line in remedy.elsewhere:
        lines += ["", *paragraph(line, page, first="  ", indent=4)]
    if remedy.risks:
        lines.append("")
    for line in remedy.risks:
        lines += labelled("risk", line, page)
    return lines
