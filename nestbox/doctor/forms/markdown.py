"""A report as Markdown, to be pasted into an issue. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nestbox.doctor.layout import plain, shortened
from nestbox.doctor.render import joined
from nestbox.doctor.report import Group, Verdict

if TYPE_CHECKING:
    from nestbox.doctor.report import Check, Report

_WORDS: Final = {
    Verdict.MISSING: "missing",
    Verdict.UNKNOWN: "unknown",
    Verdict.DEGRADED: "weaker",
    Verdict.OK: "ok",
}
# What would be markup: names of processes and paths may hold any of it.
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@])")


def render_markdown(report: Report) -> str:
    """Return the report, with a closing newline: the summary, the findings, what is well folded."""
    profiles = [check for check in report.checks if check.group is Group.PROFILES]
    findings = [
        check
        for check in report.checks
        if check.group is not Group.PROFILES and check.verdict is not Verdict.OK
    ]
    well = [check for check in report.checks if check not in profiles and check not in findings]
    lines = [f"### nestbox doctor: {_safe(shortened(report.summary[0]))}", "", _safe(report.place)]
    lines += ["", "| profile | | |", "| --- | --- | --- |"]
    lines += [_row(check.subject, _WORDS[check.verdict], check.what) for check in profiles]
    for check in joined(findings):
        lines += ["", *_finding(check)]
    if well:
        lines += ["", "<details><summary>What is well</summary>", "", "| | |", "| --- | --- |"]
        lines += [_row(check.group.value, check.what) for check in well]
        lines += ["", "</details>"]
    lines += ["", f"nestbox {report.nestbox}, fingerprint `{report.fingerprint or 'none'}`"]
    return "\n".join(lines) + "\n"


def _finding(check: Check) -> list[str]:
    subject = f"{check.group}: {shortened(check.subject)}"
    lines = [f"- **{_WORDS[check.verdict]}** {_safe(subject)} - {_safe(check.what)}"]
    for label, text in (
        ("because", check.cause),
        ("seen", check.evidence),
        ("lost at", check.lost_at),
        ("affects", ", ".join(check.affects)),
        ("try", shortened(check.remedy)),
    ):
        if text:
            lines.append(f"  - {label}: {_safe(text)}")
    return lines


def _row(*cells: str) -> str:
    return f"| {' | '.join(_safe(cell) for cell in cells)} |"


def _safe(text: str) -> str:
    """Return the text on one line, shown as it is."""
    return _MARKUP.sub(r"\\\1", plain(text))
