"""The command `nestbox`: which commands there are, and where each is."""

from __future__ import annotations

from typing import Final

import click

from nestbox.cli import output
from nestbox.cli.command import Group, Option
from nestbox.cli.errors import Settings
from nestbox.version import VERSION

TABLE: Final = {
    "run": ("nestbox.cli.run", "command", "Run a program in a container."),
    "plan": ("nestbox.cli.plan", "command", "Show what run would decide and do; do nothing."),
    "explain": (
        "nestbox.cli.explain",
        "command",
        "Say why a container got what it got, also after it has ended.",
    ),
    "caps": (
        "nestbox.cli.caps",
        "command",
        "List all capabilities, and what can be granted here.",
    ),
    "doctor": (
        "nestbox.cli.doctor",
        "command",
        "Say what is missing here, who took it, what brings it back.",
    ),
    "lock": (
        "nestbox.cli.lock",
        "command",
        "Keep what containers get here; fail when it changes.",
    ),
    "ps": ("nestbox.cli.ps", "command", "List containers, of whichever engine."),
    "exec": ("nestbox.cli.exec", "command", "Run one more process in a container."),
    "stop": ("nestbox.cli.ending", "stop_command", "Ask containers to end, then kill them."),
    "kill": ("nestbox.cli.ending", "kill_command", "Send a signal to containers."),
    "rm": ("nestbox.cli.ending", "remove_command", "Remove containers."),
    "pause": ("nestbox.cli.freezing", "pause_command", "Stop all processes of containers."),
    "resume": ("nestbox.cli.freezing", "resume_command", "Let paused containers go on."),
    "stats": ("nestbox.cli.stats", "command", "Show what containers use."),
    "inspect": ("nestbox.cli.inspect", "command", "Print all that is kept of containers."),
    "profile": ("nestbox.cli.profile", "command", "List, show and check profiles."),
    "completion": ("nestbox.cli.completion", "command", "Print the completion for a shell."),
    "version": ("nestbox.cli.version", "command", "Print the version."),
}


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    settings = ctx.find_object(Settings)
    if value and settings is not None:
        settings.debug = True


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.say(f"nestbox {VERSION}")
        ctx.exit()


nestbox = Group(
    "nestbox",
    table=TABLE,
    help="Run programs in containers, also where other tools fail: inside another container, on a "
    "CI runner, on a host that has taken capabilities away.\n\n"
    "What is asked for by name is given in full or refused before anything is created. What is "
    "only implied, by a profile or by --privileged, is given as far as this environment can, and "
    "each thing that is less is recorded and shown.",
    params=[
        Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version and exit.",
        ),
        Option(
            ["--debug"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_set_debug,
            help="With an error, show where in nestbox it arose.",
        ),
    ],
    examples=(
        ("nestbox run -- make test", "run the tests; what they write is thrown away"),
        ("nestbox run --privileged -- sh", "everything that this environment can give"),
        ("nestbox plan --privileged -- sh", "the same, decided and shown but not done"),
        ("nestbox doctor", "what is missing here, and what brings it back"),
    ),
)
