"""`nestbox plan`: what `run` would decide and do, without doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nestbox.cli import output as out
from nestbox.cli.command import Command, Option, output_option
from nestbox.cli.decisions import show_decisions
from nestbox.cli.launch_options import launch_parameters
from nestbox.cli.recordings import read_environment
from nestbox.errors import NestboxError
from nestbox.flags.request import request_of
from nestbox.plan.render import render
from nestbox.policy.resolution import refusal
from nestbox.runtime.context import context_of_process
from nestbox.runtime.prepare import notices, plan_of, prepare
from nestbox.runtime.run import without_values

if TYPE_CHECKING:
    from typing import Unpack

    from nestbox.flags.request import LaunchFlags
    from nestbox.runtime.prepare import Prepared


def _plan(
    state_root: str | None, environment: str | None, output: str, **flags: Unpack[LaunchFlags]
) -> int:
    context = context_of_process(state_root)
    request = request_of(flags, context)
    recorded = None if environment is None else read_environment(environment, context.directory)
    prepared = prepare(request, context, environment=recorded)
    refused = refusal(prepared.resolution)
    steps = () if refused else tuple(render(plan_of(prepared, context)).splitlines())
    if output == "json":
        out.say_json(_document(prepared, steps, refused))
    else:
        _show(prepared, steps)
    if refused is None:
        return 0
    out.flush()
    out.show_error(refused)
    return refused.exit_code


def _document(
    prepared: Prepared, steps: tuple[str, ...], refused: NestboxError | None
) -> dict[str, Any]:
    """Return the plan for a program; of the container's variables only the names."""
    resolution = prepared.resolution
    return {
        "schema": 1,
        "request": without_values(prepared.request),
        "profile": resolution.profile,
        "decisions": resolution.decisions,
        "capabilities": resolution.capabilities.decisions,
        "warnings": notices(prepared),
        "refused": None
        if refused is None
        else {"what": refused.what, "cause": refused.cause, "remedy": refused.remedy},
        "plan": steps,
    }


def _show(prepared: Prepared, steps: tuple[str, ...]) -> None:
    """Print the plan for a person."""
    show_decisions(prepared)
    if steps:
        out.heading("Steps")
        for line in steps:
            out.paragraph(line, hanging=4)


command = Command(
    "plan",
    context_settings={"allow_interspersed_args": False},
    params=[
        *launch_parameters(),
        Option(
            ["--environment"],
            metavar="FILE",
            type=click.UNPROCESSED,
            help="Decide against the environment that was recorded in FILE instead of this one.",
        ),
        output_option(),
    ],
    callback=_plan,
    help="Show what run would decide and do, and do nothing.\n\n"
    "Takes the options of run. The exit code is 0 if the launch would go on, 125 if not.",
    examples=(
        ("nestbox plan --privileged -- sh", "what a privileged container gets here, and why"),
        ("nestbox plan --cap-add SYS_BOOT -- true", "whether one capability is to be had"),
        ("nestbox plan -o json -- true", "the decisions and steps for a program"),
        (
            "nestbox plan --environment recording.json --privileged -- true",
            "what would happen on another machine",
        ),
    ),
)
