"""A report as text, made to be read in ten seconds: the summary, what is wrong, what is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.doctor.layout import Page, labelled, paragraph, shortened
from nestbox.doctor.report import Check, Group, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS: Final = {
    Verdict.MISSING: ("missing", "red"),
    Verdict.UNKNOWN: ("unknown", "yellow"),
    Verdict.DEGRADED: ("weaker", "yellow"),
    Verdict.OK: ("ok", "green"),
}
_COLUMN: Final = 10
_GROUP_WIDTH: Final = 13
_SUBJECT_WIDTH: Final = 18


def render(report: Report, page: Page) -> str:
    """Return the report as text with a closing newline."""
    profiles = [check for check in report.checks if check.group is Group.PROFILES]
    findings = [
        check
        for check in report.checks
        if check.verdict is not Verdict.OK and check.group is not Group.PROFILES
    ]
    untold = [check for check in profiles if check.verdict is Verdict.UNKNOWN]
    well = [check for check in report.checks if check.verdict is Verdict.OK]
    lines = [
        *paragraph(shortened(report.summary[0]), page),
        *paragraph(report.place, page),
        "",
    ]
    for check in _in_given_order(profiles, report):
        lines += _profile(check, page)
    for check in joined([*untold, *findings]):
        lines += ["", *_finding(check, page)]
    lines.append("")
    for check in well:
        if check.group is not Group.PROFILES:
            lines += _well(check, page)
    if report.fingerprint:
        lines += ["", f"fingerprint {report.fingerprint}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_checks(checks: tuple[Check, ...], page: Page) -> str:
    """Return checks of one subject as text with a closing newline, each in its given place."""
    lines: list[str] = []
    for check in checks:
        if check.verdict is Verdict.OK:
            first = " " * _COLUMN + check.subject.ljust(_SUBJECT_WIDTH) + " "
            wrapped = paragraph(check.what, page, first=first, indent=len(first))
            lines += [_head(check, page) + wrapped[0][_COLUMN:], *wrapped[1:]]
        else:
            lines += _finding(check, page)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def joined(findings: list[Check]) -> list[Check]:
    """Return the findings with those as one that differ only in subject and cause."""
    groups: dict[tuple[str, ...], list[Check]] = {}
    for check in findings:
        group = "" if check.verdict is Verdict.UNKNOWN else check.group
        key = (group, check.verdict, check.what, check.lost_at, check.remedy)
        groups.setdefault(key, []).append(check)
    return [
        msgspec.structs.replace(
            same[0],
            subject=_listed(check.subject for check in same),
            cause=_listed((check.cause for check in same), "; "),
            evidence=_listed((check.evidence for check in same), "; "),
            affects=tuple(dict.fromkeys(asker for check in same for asker in check.affects)),
        )
        for same in groups.values()
    ]


def _listed(texts: Iterable[str], between: str = ", ") -> str:
    """Return the texts that say something, each once."""
    return between.join(dict.fromkeys(text for text in texts if text))


def _in_given_order(profiles: list[Check], report: Report) -> list[Check]:
    """Return the profiles as the summary lists them, rather than the worst first."""
    order = [line.partition(":")[0] for line in report.summary]
    return sorted(profiles, key=lambda check: order.index(check.subject))


def _head(check: Check, page: Page) -> str:
    word, colour = _WORDS[check.verdict]
    return page.paint(word.ljust(_COLUMN - 1), colour) + " "


def _profile(check: Check, page: Page) -> list[str]:
    blank = " " * _COLUMN
    first = blank + check.subject.ljust(12)
    wrapped = paragraph(check.what, page, first=first, indent=len(first))
    return [_head(check, page) + wrapped[0][_COLUMN:], *wrapped[1:]]


def _finding(check: Check, page: Page) -> list[str]:
    """Return one thing that is wrong: what, why, where, what to do."""
    blank = " " * _COLUMN
    group = "" if check.verdict is Verdict.UNKNOWN else f"{check.group.value}: "
    wrapped = paragraph(
        f"{group}{shortened(check.subject)} - {check.what}",
        page,
        first=blank,
        indent=_COLUMN,
    )
    return [
        _head(check, page) + wrapped[0][_COLUMN:],
        *wrapped[1:],
        *labelled("because", check.cause, page),
        *labelled("seen", check.evidence, page),
        *labelled("lost at", check.lost_at, page),
        *labelled("affects", ", ".join(check.affects), page),
        *labelled("try", shortened(check.remedy), page),
    ]


def _well(check: Check, page: Page) -> list[str]:
    """Return one thing that is well."""
    first = " " * _COLUMN + check.group.value.ljust(_GROUP_WIDTH)
    wrapped = paragraph(check.what, page, first=first, indent=len(first))
    return [_head(check, page) + wrapped[0][_COLUMN:], *wrapped[1:]]
