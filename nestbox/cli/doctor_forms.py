"""The forms in which `nestbox doctor` prints, each loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestbox.cli.command import Option

if TYPE_CHECKING:
    from nestbox.doctor.overview import Overview
    from nestbox.outer.facts import OuterEnvironment

_FORMS = ("text", "json", "junit", "sarif", "markdown", "html", "nfd", "prometheus")
_HERE = "outer-environment"  # what stands in SARIF for the file that has the findings


def form_option() -> Option:
    """Return the option for the form of a report."""
    return Option(
        ["-o", "--output"],
        type=click.Choice(_FORMS),
        metavar="FORM",
        default="text",
        help="Print text for people; JSON for programs; junit or sarif for CI; markdown for an "
        "issue; html, one page to look at; nfd (node-feature-discovery) or prometheus (textfile "
        "collector) for a fleet.  [default: text]",
    )


def show_in_form(
    form: str, seen: Overview, environment: OuterEnvironment, *, recording: str | None
) -> None:
    """Print a report; ``recording`` is the file that it was made from, if any."""
    from nestbox.cli.output import say_json
    from nestbox.cli.page import show

    match form:
        case "json":
            say_json(seen.report)
        case "sarif":
            from urllib.parse import quote

            from nestbox.doctor.forms.sarif import sarif_log

            artifact = quote(recording, errors="replace") if recording else _HERE
            say_json(sarif_log(seen.report, artifact))
        case "nfd":
            from nestbox.doctor.forms.nfd import render_nfd

            show(render_nfd(seen, environment))
        case _:
            show(_text(form, seen))


def _text(form: str, seen: Overview) -> str:
    """Return the report in a form that is made from what was seen alone."""
    match form:
        case "junit":
            from nestbox.doctor.forms.junit import render_junit

            return render_junit(seen.report)
        case "markdown":
            from nestbox.doctor.forms.markdown import render_markdown

            return render_markdown(seen.report)
        case "html":
            from nestbox.doctor.forms.html import render_html

            return render_html(seen)
        case "prometheus":
            from nestbox.doctor.forms.prometheus import render_prometheus

            return render_prometheus(seen)
        case _:
            from nestbox.cli.page import page
            from nestbox.doctor.render import render

            return render(seen.report, page())
