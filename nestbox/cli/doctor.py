"""`nestbox doctor`: what is missing here, who took it, what brings it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import click

from nestbox.cli.command import Command, Option, root_option
from nestbox.cli.doctor_forms import check_together, form_option, show_in_form
from nestbox.cli.doctor_program import examine_command
from nestbox.cli.doctor_workload import judge_here, workload_options
from nestbox.cli.recordings import read_environment
from nestbox.errors import NestboxError, reason

if TYPE_CHECKING:
    from nestbox.doctor.overview import Overview
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.runtime.context import Context

_SOMETHING_MISSING = 1
_HERE = "here"


class DoctorFailed(NestboxError):
    """Doctor itself failed, so that nothing is said about the environment."""

    exit_code: ClassVar[int] = 2


def doctor(
    state_root: str | None,
    output: str,
    record: str | None,
    environment: str | None,
    leaks: bool,
    diff: tuple[str, str] | None,
    workload: str | None,
    layer: str | None,
    required: str | None,
    quick: bool,
    command: tuple[str, ...],
) -> int:
    """Print the report; return 0 when nothing that is needed is missing, else 1.

    Raises:
        DoctorFailed: the environment or the recording cannot be read.
    """
    from nestbox.runtime.context import context_of_process

    context = context_of_process(state_root)
    try:
        check_together(
            {
                "--leaks": leaks,
                "COMMAND": bool(command),
                "--diff": diff is not None,
                "--quick": quick,
                "--for": workload is not None,
                "--require": required is not None,
                "--environment": environment is not None,
                "--record": record is not None,
                "--remedy": layer is not None,
            },
            output,
        )
        if leaks:
            return _leaks(context, output)
        if command:
            return 0 if examine_command(command, context, output) else _SOMETHING_MISSING
        if diff:
            return _differ(diff, context, output)
        if quick:
            return _quickly(context, output)
        facts = read_environment(environment, ".") if environment else _observe(context)
        if record:
            _write(record, facts)
        if workload is not None:
            return 0 if judge_here(workload, layer, facts, output) else _SOMETHING_MISSING
        seen = _overlook(facts) if required is None else _require(required, facts, context)
    except NestboxError as error:
        raise DoctorFailed(error.what, cause=error.cause, remedy=error.remedy) from error
    show_in_form(output, seen, facts, recording=environment)
    return 0 if seen.report.healthy else _SOMETHING_MISSING


def _observe(context: Context) -> OuterEnvironment:
    from nestbox.outer.engine_api import with_engine_asked
    from nestbox.outer.probe import ALL_SUBJECTS, observe

    facts = observe(ALL_SUBJECTS, state_directory=context.storage, environment=context.environment)
    return with_engine_asked(facts, context.environment)


def _quickly(context: Context, output: str) -> int:
    """Print what plain launches need to know; return as `doctor`. Raises NestboxError."""
    from nestbox.doctor.overview import overview
    from nestbox.doctor.rehearsal import observed, wanted_subjects
    from nestbox.doctor.shipped import load_all
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.outer.probe import extend

    shipped, facts = load_all(), OuterEnvironment()
    while not (wanted := wanted_subjects(facts, shipped)) <= observed(facts):
        facts = extend(
            facts,
            wanted,
            state_directory=context.storage,
            all_devices=False,
            environment=context.environment,
        )
    seen = overview(facts, shipped, whole=False)
    show_in_form(output, seen, facts, recording=None)
    return 0 if seen.report.healthy else _SOMETHING_MISSING


def _overlook(environment: OuterEnvironment) -> Overview:
    from nestbox.doctor.overview import overview
    from nestbox.doctor.shipped import load_all

    return overview(environment, load_all())


def _require(name: str, environment: OuterEnvironment, context: Context) -> Overview:
    """Return what there is of a profile. Raises NestboxError."""
    from nestbox.doctor.overview import overview
    from nestbox.doctor.requirement import measure_by, strictly
    from nestbox.policy.profile_file import find_profile

    profile = find_profile(name, context.environment)
    return strictly(overview(environment, measure_by(profile)))


def _differ(paths: tuple[str, str], context: Context, output: str) -> int:
    """Print what differs; return 0 when nothing does, else 1. Raises NestboxError."""
    from nestbox.cli.output import say_json
    from nestbox.cli.page import page, show
    from nestbox.doctor.differences import Side, differences, render_differences

    sides = []
    for path in paths:
        facts = _observe(context) if path == _HERE else read_environment(path, ".")
        sides.append(Side(environment=facts, seen=_overlook(facts)))
    found = differences(*sides)
    if output == "json":
        say_json(found)
    else:
        show(render_differences(found, page()))
    return _SOMETHING_MISSING if found.found else 0


def _write(path: str, environment: OuterEnvironment) -> None:
    """Save an environment. Raises NestboxError."""
    from nestbox.outer.recording import save

    try:
        with open(path, "wb") as file:
            file.write(save(environment))
    except (OSError, ValueError) as error:
        raise DoctorFailed(
            f"cannot write the recording {path!r}",
            cause=reason(error),
            remedy="name a file in a directory that can be written",
        ) from error


def _leaks(context: Context, output: str) -> int:
    """Print what no living container owns; return 0 when there is nothing, else 1."""
    from nestbox.cli.output import say, say_json
    from nestbox.runtime.leaks import find_leaks

    found = find_leaks(context)
    if output == "json":
        say_json(found)
    elif not found:
        say("nothing is left behind: every thing that nestbox made belongs to a living container")
    else:
        say(f"{len(found)} left behind, which no living container owns:")
        for leak in found:
            say(f"  {leak.kind}: {leak.path}" + (f" ({leak.detail})" if leak.detail else ""))
    return _SOMETHING_MISSING if found else 0


command = Command(
    "doctor",
    callback=doctor,
    help="Say what is missing here, who took it, what brings it back.\n\n"
    "The rules of a launch are applied without one: plain launches of each shipped profile, and "
    "the flags that are asked for most. Exit code 0: nothing that they need is missing; 1: "
    "something is; 2: doctor itself failed.",
    context_settings={"allow_interspersed_args": False},
    params=[
        click.Argument(["command"], nargs=-1, metavar="[-- COMMAND]"),
        form_option(),
        Option(
            ["--record"],
            metavar="FILE",
            help="Save what was observed to FILE: a bug report, or a test.",
        ),
        Option(
            ["--environment"],
            metavar="FILE",
            help="Examine what was recorded in FILE, not what is here.",
        ),
        *workload_options(),
        Option(
            ["--require", "required"],
            metavar="PROFILE",
            help="Examine one profile, a name or a file, and take for missing whatever it would "
            "get less of.",
        ),
        Option(
            ["--diff"],
            nargs=2,
            metavar="A B",
            help="Compare two recordings instead; 'here' is what is here now. Exit code 1: "
            "something differs.",
        ),
        Option(
            ["--quick"],
            is_flag=True,
            help="Look only at what plain launches of the shipped profiles need.",
        ),
        Option(
            ["--leaks"],
            is_flag=True,
            help="List instead what nestbox made and no living container owns.",
        ),
        root_option(),
    ],
    examples=(
        ("nestbox doctor", "what is missing here, and what to change outside"),
        ("nestbox doctor -o json", "the same for programs, with every fact that decided"),
        ("nestbox doctor -o html >doctor.html", "one page to look at, with a table to search"),
        ("nestbox doctor --for dockerd", "does it run here, and what is the least it needs"),
        ("nestbox doctor -- ping", "would that program run: libraries, file capabilities, setuid"),
        ("nestbox doctor --diff yesterday.json here", "what has changed since"),
        ("nestbox doctor --record here.json", "keep what was observed, for a bug report"),
    ),
)
