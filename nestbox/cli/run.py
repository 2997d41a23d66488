"""`nestbox run`: a program in a container, attended to its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

from nestbox.cli import output
from nestbox.cli.command import Command, Option
from nestbox.cli.errors import Settings
from nestbox.cli.launch_options import launch_parameters
from nestbox.errors import UsageError

if TYPE_CHECKING:
    from typing import Unpack

    from nestbox.flags.request import LaunchFlags
    from nestbox.policy.request import RunRequest
    from nestbox.runtime.context import Context
    from nestbox.runtime.prepare import Prepared
    from nestbox.runtime.record import Record

_LEVELS: Final = ("error", "warning", "info", "debug")
_STDIN: Final = 0


def _run(
    state_root: str | None,
    provenance: str | None,
    log_level: str,
    explain: bool,
    **flags: Unpack[LaunchFlags],
) -> int:
    from nestbox.flags.request import request_of
    from nestbox.runtime.context import context_of_process

    context = context_of_process(state_root)
    request = request_of(flags, context)
    _check_terminal(request)

    def launch(request: RunRequest) -> tuple[int, Record]:
        return _launch(request, context, log_level, explain=explain)

    if provenance is None:
        return launch(request)[0]
    from nestbox.cli.provenance import run_recorded

    return run_recorded(request, context, provenance, launch)


def _check_terminal(request: RunRequest) -> None:
    """Refuse what docker refuses: keys are wanted, and there is no keyboard."""
    if request.terminal and request.interactive and not os.isatty(_STDIN):
        raise UsageError(
            "-t with -i",
            cause="the input device is not a TTY: standard input is no terminal",
            remedy="leave out -t to pass on a file or a pipe, or leave out -i",
        )


def _launch(
    request: RunRequest, context: Context, log_level: str, *, explain: bool
) -> tuple[int, Record]:
    """Return the exit code of the container's program, and the record."""
    from msgspec.structs import replace

    from nestbox.runtime.run import RunOptions, run

    shown = _LEVELS.index(log_level)
    notice = output.note if shown >= _LEVELS.index("warning") else _silent
    options = RunOptions(notice=notice, forward_signals=True)
    if explain:
        options = replace(options, decided=_explain, notice=_silent)
    finished = run(request, context, options)
    if shown >= _LEVELS.index("info"):
        _tell(finished.record)
    return finished.exit_code, finished.record


def _silent(line: str) -> None:
    """Print nothing: only errors are wanted."""


def _explain(prepared: Prepared) -> None:
    """Print all decisions to standard error; standard output is the container's."""
    import sys
    from contextlib import redirect_stdout

    from nestbox.cli.decisions import show_decisions

    with redirect_stdout(sys.stderr):
        show_decisions(prepared)
        output.say()
        output.flush()


def _tell(record: Record) -> None:
    phases = ", ".join(f"{name} {time:.1f} ms" for name, time in record.phases.items())
    output.note(f"nestbox: {record.id} ended with {record.exit_code} ({phases})")


def _set_level(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    settings = ctx.find_object(Settings)
    if value == "debug" and settings is not None:
        settings.debug = True
    return value


command = Command(
    "run",
    context_settings={"allow_interspersed_args": False},
    params=[
        *launch_parameters(),
        Option(
            ["--provenance"],
            section="Messages",
            metavar="FILE|-",
            type=click.UNPROCESSED,
            help="Append the record of the launch to FILE as one line of JSON; - is standard "
            "output, after that of the container.",
        ),
        Option(
            ["--explain"],
            section="Messages",
            is_flag=True,
            help="Show before the launch what is given and why not more, on standard error.",
        ),
        Option(
            ["--log-level"],
            section="Messages",
            type=click.Choice(_LEVELS),
            default="warning",
            is_eager=True,
            callback=_set_level,
            help="Show errors alone, also what is less than was implied (warning), how long each "
            "phase took (info), where in nestbox an error arose (debug).  [default: warning]",
        ),
    ],
    callback=_run,
    help="Run a program in a container, and exit as it does.\n\n"
    "Options end at the first word that is none. Sizes are bytes, or have k, m or g behind "
    "them. Exit codes: 125 nestbox refused or failed, 126 the program cannot be invoked, 127 it "
    "was not found, 128+N it was ended by signal N, else its own.",
    examples=(
        ("nestbox run -- make test", "run the tests; what they write is thrown away"),
        ("nestbox run --profile minimal -- ./untrusted", "no rights, no network, small limits"),
        ("nestbox run --privileged -- id", "everything that this environment can give"),
        (
            "nestbox run --cap-drop ALL --cap-add NET_BIND_SERVICE -- id",
            "exactly one capability, or none of it at all",
        ),
        ("nestbox run --cap-add SYS_BOOT? -- id", "one capability if it is to be had here"),
        (
            "nestbox run --rootfs ./rootfs:overlay -v .:/src:ro -w /src -it sh",
            "a shell over a directory that stays as it is",
        ),
        (
            "nestbox run --memory 512m --cpus 1 --pids-limit 100 -- make",
            "with limits, or not at all",
        ),
    ),
)
