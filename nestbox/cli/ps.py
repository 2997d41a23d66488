"""`nestbox ps`: which containers there are, of whatever engine."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from nestbox.cli.command import Command, Option, output_option
from nestbox.cli.containers import all_roots_option, state_root

if TYPE_CHECKING:
    from nestbox.runtime.containers import Seen

_LIVING: Final = frozenset({"creating", "created", "running", "paused"})
_STYLES: Final = {"running": "green", "paused": "yellow", "stopped": "dim"}
_SECONDS: Final = 19  # characters of a time up to its seconds


def _ps(everything: bool, quiet: bool, output: str, root: str | None) -> None:
    from nestbox.cli import output as out
    from nestbox.runtime.containers import list_containers

    found = [
        one for one in list_containers(state_root(root)) if everything or one.status in _LIVING
    ]
    if quiet:
        for one in found:
            out.say(one.id)
    elif output == "json":
        out.say_json(found)
    else:
        out.table(
            ("CONTAINER", "STATUS", "PID", "CREATED", "COMMAND", "ROOT"),
            [_row(one) for one in found],
            whole=(0, 1, 2),
            right=(2,),
            styles=_STYLES,
        )


def _row(one: Seen) -> tuple[str, ...]:
    return (
        one.id,
        one.status,
        str(one.pid or ""),
        one.created[:_SECONDS].replace("T", " "),
        shlex.join(one.command),
        one.root,
    )


command = Command(
    "ps",
    callback=_ps,
    help="List containers: those of nestbox run and those of engines that use nestbox-runtime.",
    params=[
        Option(
            ["-a", "--all", "everything"],
            is_flag=True,
            help="List those too that have stopped.",
        ),
        Option(["-q", "--quiet"], is_flag=True, help="Print ids alone."),
        output_option(),
        all_roots_option(),
    ],
    examples=(
        ("nestbox ps", "what runs, whichever engine started it"),
        ("nestbox ps --all -o json", "all that there are, for a program"),
    ),
)
