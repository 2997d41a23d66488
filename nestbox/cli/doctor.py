"""`nestbox doctor`: what is missing here, who took it, what brings it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nestbox.cli.command import Command, Option, output_option, root_option
from nestbox.cli.recordings import read_environment
from nestbox.errors import NestboxError, reason

if TYPE_CHECKING:
    from nestbox.doctor.report import Report
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.runtime.context import Context

_SOMETHING_MISSING = 1


class DoctorFailed(NestboxError):
    """Doctor itself failed, so that nothing is said about the environment."""

    exit_code: ClassVar[int] = 2


def doctor(
    state_root: str | None,
    output: str,
    record: str | None,
    environment: str | None,
    leaks: bool,
) -> int:
    """Print the report; return 0 when nothing that is needed is missing, else 1.

    Raises:
        DoctorFailed: the environment or the recording cannot be read.
    """
    from nestbox.runtime.context import context_of_process

    context = context_of_process(state_root)
    try:
        if leaks:
            return _leaks(context, output)
        facts = read_environment(environment, ".") if environment else _observe(context)
        if record:
            _write(record, facts)
        report = _examine(facts)
    except NestboxError as error:
        raise DoctorFailed(error.what, cause=error.cause, remedy=error.remedy) from error
    _show(report, output)
    return 0 if report.healthy else _SOMETHING_MISSING


def _observe(context: Context) -> OuterEnvironment:
    from nestbox.outer.probe import ALL_SUBJECTS, observe

    return observe(ALL_SUBJECTS, state_directory=context.storage, environment=context.environment)


def _examine(environment: OuterEnvironment) -> Report:
    from nestbox.doctor.examine import examine
    from nestbox.doctor.shipped import load_all

    return examine(environment, load_all())


def _show(report: Report, output: str) -> None:
    if output == "json":
        from nestbox.cli.output import say_json

        say_json(report)
        return
    from nestbox.cli.page import page, show
    from nestbox.doctor.render import render

    show(render(report, page()))


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
    params=[
        output_option(),
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
        ("nestbox doctor --record here.json", "keep what was observed, for a bug report"),
    ),
)
