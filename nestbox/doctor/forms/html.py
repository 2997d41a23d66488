"""A report as one page of HTML that needs nothing from anywhere else. Pure.

The page carries its own style and script and allows no others (Content Security Policy): names of
processes and paths in it come from whoever made them.
"""

from __future__ import annotations

import base64
import hashlib
import os
from string import Template
from typing import TYPE_CHECKING

from nestbox.doctor.forms.html_matrix import ladders, matrix
from nestbox.doctor.forms.html_text import element, safe
from nestbox.doctor.layout import shortened
from nestbox.doctor.render import joined
from nestbox.doctor.report import Group, Verdict

if TYPE_CHECKING:
    from nestbox.doctor.overview import Overview
    from nestbox.doctor.report import Check

_PAGE = os.path.join(os.path.dirname(__file__), "page")
_WORDS = {
    Verdict.OK: "ok",
    Verdict.DEGRADED: "weaker",
    Verdict.MISSING: "missing",
    Verdict.UNKNOWN: "unknown",
}


def render_html(overview: Overview) -> str:
    """Return the page, with a closing newline."""
    report = overview.report
    profiles = [check for check in report.checks if check.group is Group.PROFILES]
    others = [check for check in report.checks if check.group is not Group.PROFILES]
    findings = joined([check for check in others if check.verdict is not Verdict.OK])
    style, script = (_part(name) for name in ("page.css", "page.js"))
    return Template(_part("page.html")).substitute(
        title=safe(shortened(report.summary[0])),
        place=safe(report.place),
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
        profiles="".join(_profile(check) for check in profiles),
        findings="".join(map(_finding, findings)) or element("p", "Nothing is missing."),
        matrix=matrix(overview),
        ladders=ladders(overview.ladders),
        well="".join(
            element("dt", check.group.value) + element("dd", check.what)
            for check in others
            if check.verdict is Verdict.OK
        ),
        version=safe(report.nestbox),
        fingerprint=safe(report.fingerprint or "none: not observed far enough"),
    )


def _part(name: str) -> str:
    """Return a part of the page, from the package's own data."""
    with open(os.path.join(_PAGE, name), encoding="utf-8") as file:
        return file.read()


def _digest(text: str) -> str:
    """Return what a Content Security Policy calls the hash of an inline style or script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _verdict(check: Check) -> str:
    return f'<span class="verdict {check.verdict}">{_WORDS[check.verdict]}</span>'


def _profile(check: Check) -> str:
    return f"<li>{_verdict(check)} <b>{safe(check.subject)}</b> {safe(check.what)}</li>"


def _finding(check: Check) -> str:
    rows = "".join(
        element("dt", label) + element("dd", text)
        for label, text in (
            ("because", check.cause),
            ("seen", check.evidence),
            ("lost at", check.lost_at),
            ("affects", ", ".join(check.affects)),
        )
        if text
    )
    subject = f"{check.group}: {shortened(check.subject)} - {check.what}"
    remedy = ""
    if check.remedy:
        label = safe(f"Copy the remedy for {check.subject}"[:120])
        remedy = (
            f'<div class="remedy">{element("pre", check.remedy)}'
            f'<button type="button" class="copy" aria-label="{label}">Copy</button></div>'
        )
    heading = f"<h3>{_verdict(check)} {safe(subject)}</h3>"
    return f"<article>{heading}<dl>{rows}</dl>{remedy}</article>"
