"""The forms in which `nestbox doctor` prints, each loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestbox.cli.command import Option
from nestbox.errors import UsageError

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


# What asks for something else than the report, and what may stand beside it.
_INSTEAD = {
    "--leaks": frozenset[str](),
    "COMMAND": frozenset[str](),
    "--diff": frozenset[str](),
    "--quick": frozenset[str](),
    "--for": frozenset({"--environment", "--record", "--remedy"}),
}
_WHOLE_REPORTS = frozenset({"--quick"})  # in every form


def check_together(given: dict[str, bool], form: str) -> None:
    """Refuse options of which one would be passed over in silence. Raises UsageError."""
    named = [option for option, is_given in given.items() if is_given]
    for option in named:
        if option not in _INSTEAD:
            continue
        others = [one for one in named if one != option and one not in _INSTEAD[option]]
        if others:
            raise _not_together(option, others[0])
        if option not in _WHOLE_REPORTS and form not in {"text", "json"}:
            raise _not_together(option, f"-o {form}")
    if "--remedy" in named and "--for" not in named:
        raise UsageError(
            "--remedy without --for",
            cause="it writes what a workload needs for another layer",
            remedy="name the workload: nestbox doctor --for dockerd --remedy docker",
        )


def _not_together(option: str, other: str) -> UsageError:
    return UsageError(
        f"{option} with {other}",
        cause="the second would have no effect",
        remedy="leave one of them out",
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
