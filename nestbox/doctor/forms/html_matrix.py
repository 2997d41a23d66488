"""The tables of the page: every capability against who holds it, and the rungs of launches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.doctor.forms.html_text import element, safe
from nestbox.doctor.outlook import Prospect, membership
from nestbox.policy.decision import Outcome

if TYPE_CHECKING:
    from nestbox.doctor.outlook import Membership, Outlook, Outlooks
    from nestbox.doctor.overview import Holder, Ladders, Overview
    from nestbox.policy.decision import Decision

# A word and a colour for each; no colour means anything that the word does not say.
_PROSPECTS: Final = {
    Prospect.GIVEN: ("yes", "ok"),
    Prospect.USERNS: ("own namespace", "degraded"),
    Prospect.NO_EFFECT: ("void", "degraded"),
    Prospect.MISSING: ("no", "missing"),
    Prospect.KEPT: ("kept", "degraded"),
    Prospect.NOT_ASKED: ("-", ""),
}
_OUTCOMES: Final = {Outcome.WEAKENED: "degraded", Outcome.REFUSED: "missing"}


def matrix(overview: Overview) -> str:
    """Return a row for each capability: kernel, PID 1, ancestors, our own sets, each profile."""
    table = overview.outlooks
    if table is None:
        return element("p", "The capabilities were not observed.")
    heads = ["kernel", *(holder.label for holder in overview.holders), "here", *table.profiles]
    head = element("th", "capability", scope="col")
    head += "".join(element("th", label, scope="col") for label in heads)
    rows = "".join(
        _row(outlook, overview.holders, table, first=number == 0)
        for number, outlook in enumerate(table.capabilities)
    )
    return (
        '<div class="table"><table aria-label="Capabilities, who holds them and who is given them">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(outlook: Outlook, holders: tuple[Holder, ...], table: Outlooks, *, first: bool) -> str:
    cells = [_cell("yes" if outlook.kernel else "no", "ok" if outlook.kernel else "missing")]
    for member in (*(membership(one.sets, outlook.number) for one in holders), outlook.outer):
        cells.append(_sets(member))
    for name in table.profiles:
        cells.append(_cell(*_PROSPECTS[outlook.profiles[name].prospect]))
    text = f"{outlook.number} {outlook.name} {outlook.purpose}".lower()
    name = element("th", f"{outlook.number} {outlook.name}", scope="row")
    row = (
        f'<tr class="row" tabindex="{0 if first else -1}" aria-expanded="false"'
        f' data-text="{safe(text)}">{name}{"".join(cells)}</tr>'
    )
    width = 2 + len(holders) + 1 + len(table.profiles)
    return f'{row}<tr class="why" hidden><td colspan="{width}">{_why(outlook)}</td></tr>'


def _cell(word: str, colour: str) -> str:
    inner = element("span", word, class_=f"verdict {colour}") if colour else safe(word)
    return f"<td>{inner}</td>"


def _sets(member: Membership) -> str:
    colour = "ok" if member.bounding and member.permitted else "missing"
    return f"<td>{element('span', member.letters, class_=f'sets verdict {colour}')}</td>"


def _why(outlook: Outlook) -> str:
    """Return what it is for, and what is told of each profile that gives less."""
    parts = [element("p", outlook.purpose)]
    for name, profiled in outlook.profiles.items():
        told = (
            ("because", profiled.detail),
            ("lost at", profiled.lost_at),
            ("try", profiled.remedy),
        )
        rows = "".join(element("dt", label) + element("dd", text) for label, text in told if text)
        if rows:
            parts.append(f"{element('h3', name)}<dl>{rows}</dl>")
    return "".join(parts)


def ladders(launches: tuple[Ladders, ...]) -> str:
    """Return a row for each aspect and a column for each launch."""
    subjects = dict.fromkeys(one.subject for launch in launches for one in launch.decisions)
    if not subjects:
        return element("p", "Not observed far enough.")
    head = element("th", "aspect", scope="col")
    head += "".join(element("th", launch.label, scope="col") for launch in launches)
    rows = []
    for subject in subjects:
        cells = "".join(_rung(launch, subject) for launch in launches)
        rows.append(f"<tr>{element('th', subject, scope='row')}{cells}</tr>")
    return (
        '<div class="table wide"><table aria-label="What each launch gets">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _rung(launch: Ladders, subject: str) -> str:
    found = [one for one in launch.decisions if one.subject == subject]
    return f"<td>{'<br>'.join(map(_decision, found)) or '-'}</td>"


def _decision(decision: Decision) -> str:
    text = decision.chosen
    colour = _OUTCOMES.get(decision.outcome, "")
    if decision.outcome is Outcome.REFUSED:
        text = "refused"
    shown = element("span", text, class_=f"verdict {colour}") if colour else safe(text)
    return f"{shown}<br>{safe(decision.cause)}" if colour and decision.cause else shown
