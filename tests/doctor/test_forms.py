"""The forms for programs, each read by a parser of its own that others wrote."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import msgspec
import pytest
from junitparser import Error, Failure, JUnitXml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from sarif_pydantic import Level, Sarif

from nestbox.doctor.forms.html import render_html
from nestbox.doctor.forms.junit import render_junit
from nestbox.doctor.forms.markdown import render_markdown
from nestbox.doctor.forms.nfd import render_nfd
from nestbox.doctor.forms.prometheus import render_prometheus
from nestbox.doctor.forms.sarif import sarif_log
from nestbox.doctor.overview import Overview, overview
from nestbox.doctor.report import Check, Group, Verdict
from nestbox.doctor.shipped import Shipped
from nestbox.outer.facts import OuterEnvironment

Load = Callable[[str], OuterEnvironment]

# What a process may call itself, and a path may be called.
HOSTILE = "\x1b[31m]]> </script><script>alert(1)</script> & \" ' | `x` \u202e\udcff\n# TYPE y gauge"


def number(seen: Overview, verdict: Verdict) -> int:
    return sum(check.verdict is verdict for check in seen.report.checks)


def hostile(seen: Overview) -> Overview:
    """Return the overview with a finding made of nothing but what could be markup."""
    check = Check(
        group=Group.MOUNTS,
        subject=HOSTILE,
        verdict=Verdict.MISSING,
        what=HOSTILE,
        cause=HOSTILE,
        evidence=HOSTILE,
        lost_at=HOSTILE,
        remedy=HOSTILE,
        affects=(HOSTILE,),
    )
    report = msgspec.structs.replace(
        seen.report, checks=(*seen.report.checks, check), place=HOSTILE
    )
    return msgspec.structs.replace(seen, report=report)


@pytest.fixture
def seen(recorded: str, load: Load, shipped: Shipped) -> Overview:
    return hostile(overview(load(recorded), shipped))


def test_junit_has_a_case_for_each_check(seen: Overview) -> None:
    suites = JUnitXml.fromstring(render_junit(seen.report).encode("utf-8"))
    cases = [case for suite in suites for case in suite]
    assert len(cases) == len(seen.report.checks) == suites.tests
    results = [result for case in cases for result in case.result]
    assert sum(isinstance(one, Failure) for one in results) == number(seen, Verdict.MISSING)
    assert sum(isinstance(one, Error) for one in results) == number(seen, Verdict.UNKNOWN)
    assert suites.failures == number(seen, Verdict.MISSING)


def test_sarif_has_a_result_for_each_finding(seen: Overview) -> None:
    log = Sarif.model_validate_json(msgspec.json.encode(sarif_log(seen.report, "here.json")))
    (run,) = log.runs
    found = [result.level for result in run.results or []]
    assert found.count(Level.ERROR) == number(seen, Verdict.MISSING)
    assert found.count(Level.WARNING) == number(seen, Verdict.UNKNOWN)
    assert found.count(Level.NOTE) == number(seen, Verdict.DEGRADED)
    assert unknown_properties(log) == []


def unknown_properties(model: BaseModel) -> list[str]:
    """Return the properties that the format does not have; its bags of properties take any."""
    found = []
    for value in dict(model).values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                found += unknown_properties(one)
    if type(model).__name__ == "PropertyBag":
        return []
    return [*found, *(name for name in model.model_extra or {} if name != "$schema")]


def test_sarif_finding_of_today_is_known_as_that_of_yesterday(
    recorded: str, load: Load, shipped: Shipped
) -> None:
    report = overview(load(recorded), shipped).report
    first, second = sarif_log(report, "a.json"), sarif_log(report, "b.json")
    names = [
        [result["partialFingerprints"]["nestbox/v1"] for result in log["runs"][0]["results"]]
        for log in (first, second)
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_prometheus_has_only_our_metrics_with_unique_labels(seen: Overview) -> None:
    families = list(text_string_to_metric_families(render_prometheus(seen)))
    assert all(family.name.startswith("nestbox_") for family in families)
    assert all(family.documentation and family.type == "gauge" for family in families)
    samples = [(one.name, *sorted(one.labels.items())) for two in families for one in two.samples]
    assert len(set(samples)) == len(samples)
    checks = [one for family in families for one in family.samples if one.name == "nestbox_checks"]
    assert sum(one.value for one in checks) == len(seen.report.checks)


def test_nfd_has_labels_that_kubernetes_takes(recorded: str, load: Load, shipped: Shipped) -> None:
    environment = load(recorded)
    lines = render_nfd(overview(environment, shipped), environment).splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert len(set(names)) == len(names)
    valid = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
    for line in lines:
        name, _, value = line.partition("=")
        assert valid.fullmatch(name), name
        assert valid.fullmatch(value), line
    assert any(name == "nestbox-profile.default" for name in names)


def test_markdown_is_lines_that_show_what_others_wrote_as_it_is(seen: Overview) -> None:
    text = render_markdown(seen.report)
    assert "<script" not in text.replace("\\<script", "")
    assert "\x1b" not in text
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}


class Page(HTMLParser):
    """Counts what matters in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "link", "input", "br"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "action"}:
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_asks_nobody(seen: Overview) -> None:
    page = Page()
    page.feed(render_html(seen))
    page.close()
    assert page.open == []
    assert page.tags.count("script") == 1
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    if seen.outlooks is not None:
        rows = page.tags.count("tr")
        assert rows > 2 * len(seen.outlooks.capabilities)


@pytest.mark.parametrize("form", [render_junit, render_markdown])
def test_forms_can_be_written_as_utf_8(form: Callable[..., str], seen: Overview) -> None:
    io.BytesIO().write(form(seen.report).encode("utf-8"))
    render_html(seen).encode("utf-8")
    render_prometheus(seen).encode("utf-8")
