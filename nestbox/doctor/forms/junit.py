"""A report as JUnit XML: each check a test case. Pure.

What is missing is a failure, what could not be told an error; what is weaker passes with its cause
as output, since a launch goes on. Source: the schema of Jenkins' xUnit plugin, junit-10.xsd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from nestbox.doctor.layout import plain
from nestbox.doctor.report import Verdict

if TYPE_CHECKING:
    from nestbox.doctor.report import Check, Report

_PROBLEMS = {Verdict.MISSING: "failure", Verdict.UNKNOWN: "error"}


def render_junit(report: Report) -> str:
    """Return the document, with a closing newline."""
    counts = {
        element: str(sum(check.verdict is verdict for check in report.checks))
        for verdict, element in _PROBLEMS.items()
    }
    numbers = {
        "tests": str(len(report.checks)),
        "failures": counts["failure"],
        "errors": counts["error"],
    }
    suites = ElementTree.Element("testsuites", {"name": "nestbox doctor", **numbers})
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": plain(report.place), **numbers, "skipped": "0", "time": "0"}
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("nestbox", report.nestbox), ("fingerprint", report.fingerprint or "")):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for check in report.checks:
        _add(suite, check)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _add(suite: ElementTree.Element, check: Check) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {"classname": f"doctor.{check.group}", "name": plain(check.subject), "time": "0"},
    )
    details = "\n".join(
        f"{label}: {plain(text)}"
        for label, text in (
            ("because", check.cause),
            ("seen", check.evidence),
            ("lost at", check.lost_at),
            ("affects", ", ".join(check.affects)),
            ("try", check.remedy),
        )
        if text
    )
    element = _PROBLEMS.get(check.verdict)
    if element is not None:
        attributes = {"message": plain(check.what), "type": check.verdict.value}
        ElementTree.SubElement(case, element, attributes).text = details
    elif details:
        output = f"{plain(check.what)}\n{details}"
        ElementTree.SubElement(case, "system-out").text = output
