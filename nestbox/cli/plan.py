"""`nestbox plan`: what `run` would decide and do, without doing it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from nestbox.cli import output as out
from nestbox.cli.command import Command, Option, output_option
from nestbox.cli.launch_options import launch_parameters
from nestbox.errors import NestboxError, UsageError, reason
from nestbox.flags.request import request_of
from nestbox.plan.render import render
from nestbox.policy.decision import Outcome, Scope
from nestbox.policy.resolution import refusal, warnings
from nestbox.runtime.context import context_of_process
from nestbox.runtime.prepare import plan_of, prepare
from nestbox.runtime.run import without_values

if TYPE_CHECKING:
    from typing import Unpack

    from nestbox.flags.request import LaunchFlags
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import CapabilityDecision, Decision
    from nestbox.runtime.prepare import Prepared

_RECORDING_LIMIT: Final = 32 << 20  # bytes
_LESS: Final = frozenset({Outcome.WEAKENED, Outcome.REFUSED})


_LABELS: Final = {
    Outcome.GRANTED: "given",
    Outcome.WEAKENED: "less",
    Outcome.REFUSED: "refused",
    Outcome.DROPPED: "removed",
    Outcome.NOT_ASKED: "not asked",
}
_NO_EFFECT: Final = "no effect"


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


def read_environment(path: str, directory: str) -> OuterEnvironment:
    """Return the recorded environment in a file; a relative path begins at ``directory``.

    Raises:
        UsageError: it cannot be read, or is no recording.
    """
    from nestbox.outer.recording import load

    try:
        with open(os.path.join(directory, path), "rb") as file:
            data = file.read(_RECORDING_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--environment {path}",
            cause=f"it cannot be read: {reason(error)}",
            remedy="record one: nestbox doctor --record FILE",
        ) from None
    if len(data) > _RECORDING_LIMIT:
        raise UsageError(
            f"--environment {path}",
            cause=f"it is larger than {_RECORDING_LIMIT >> 20} MiB, so it is no recording",
            remedy="record one: nestbox doctor --record FILE",
        )
    return load(data)


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
        "warnings": warnings(resolution, prepared.container),
        "refused": None
        if refused is None
        else {"what": refused.what, "cause": refused.cause, "remedy": refused.remedy},
        "plan": steps,
    }


def _show(prepared: Prepared, steps: tuple[str, ...]) -> None:
    """Print the plan for a person."""
    resolution = prepared.resolution
    out.say(f"profile {resolution.profile} ({prepared.profile.source or 'built in'})")
    out.heading("Decisions")
    out.table(
        ("ASPECT", "ASKED FOR", "BY", "GIVEN"),
        [_row(decision) for decision in resolution.decisions],
    )
    out.heading("Capabilities")
    _show_capabilities(resolution.capabilities.decisions)
    _show_less(resolution.decisions, resolution.capabilities.decisions)
    if steps:
        out.heading("Steps")
        for line in steps:
            out.paragraph(line, hanging=4)


def _row(decision: Decision) -> tuple[str, ...]:
    given = "refused" if decision.outcome is Outcome.REFUSED else decision.chosen
    return decision.subject, decision.request, decision.asked_by, given


def _show_capabilities(decisions: tuple[CapabilityDecision, ...]) -> None:
    """Print the names by what became of them."""
    groups: dict[str, list[str]] = {}
    for decision in decisions:
        name = decision.name.removeprefix("CAP_")
        groups.setdefault(_label(decision), []).append(name)
    for label in (*_LABELS.values(), _NO_EFFECT):
        names = groups.get(label, [])
        if names:
            out.paragraph(f"{label:<10} {len(names):>2}  {' '.join(names)}", hanging=15)
    if any(one.scope is Scope.USERNS and one.outcome is Outcome.GRANTED for one in decisions):
        out.say()
        out.paragraph(
            "What is given is power over the container's own user namespace. What has no effect "
            "the kernel checks against the first user namespace alone."
        )


def _label(decision: CapabilityDecision) -> str:
    if decision.outcome is Outcome.GRANTED and not decision.has_effect:
        return _NO_EFFECT
    return _LABELS[decision.outcome]


def _show_less(
    decisions: tuple[Decision, ...], capabilities: tuple[CapabilityDecision, ...]
) -> None:
    """Print why something is less than what was asked for, and what would bring it."""
    aspects = [
        (f"{one.subject}: {_instead(one)}", one.cause, one.remedy)
        for one in decisions
        if one.outcome in _LESS
    ]
    grouped: dict[tuple[str, str], list[str]] = {}
    for one in capabilities:
        if one.outcome in _LESS:
            lost = f", lost at {one.lost_at}" if one.lost_at else ""
            why = f"{one.detail or one.cause.value}{lost}"
            grouped.setdefault((why, one.remedy), []).append(one.name)
    rows = [(" ".join(names), *reasons) for reasons, names in grouped.items()] + aspects
    if not rows:
        return
    out.heading("Less than was asked for")
    for what, cause, remedy in rows:
        out.paragraph(what, hanging=2)
        out.paragraph(f"because: {cause}", indent=2, hanging=9)
        if remedy:
            out.paragraph(f"try:     {remedy}", indent=2, hanging=9)


def _instead(decision: Decision) -> str:
    if decision.outcome is Outcome.REFUSED:
        return f"{decision.request} is refused"
    return f"{decision.chosen} instead of {decision.request}"


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
