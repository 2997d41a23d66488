"""`nestbox stop`, `nestbox kill` and `nestbox rm`: the end of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nestbox.cli.command import Command, Option
from nestbox.cli.containers import Notes, all_roots_option, container_arguments, for_each

if TYPE_CHECKING:
    from nestbox.runtime.containers import Seen


def _stop(containers: tuple[str, ...], signal: str, time: float, root: str | None) -> int:
    from nestbox.runtime.ending import stop_container

    def stop(seen: Seen) -> None:
        stop_container(seen, signal=signal, seconds=time)

    return for_each(containers, root, stop)


def _kill(containers: tuple[str, ...], signal: str, root: str | None) -> int:
    from nestbox.runtime.ending import signal_container

    return for_each(containers, root, lambda seen: signal_container(seen, signal))


def _remove(containers: tuple[str, ...], force: bool, root: str | None) -> int:
    from nestbox.runtime.ending import remove_container

    return for_each(containers, root, lambda seen: remove_container(seen, force=force, log=Notes()))


stop_command = Command(
    "stop",
    callback=_stop,
    help="Ask containers to end, and kill those that do not.",
    params=[
        Option(
            ["-s", "--signal"],
            default="TERM",
            metavar="SIGNAL",
            help="What to ask with, by name or number.  [default: TERM]",
        ),
        Option(
            ["-t", "--time"],
            type=click.FloatRange(min=0),
            default=10,
            metavar="SECONDS",
            help="How long to wait before it is killed.  [default: 10]",
        ),
        all_roots_option(),
        container_arguments(),
    ],
    examples=(
        ("nestbox stop web", "ten seconds to end by itself"),
        ("nestbox stop -s INT -t 60 database", "a minute, and another signal"),
    ),
)

kill_command = Command(
    "kill",
    callback=_kill,
    help="Send a signal to the first process of containers.",
    params=[
        Option(
            ["-s", "--signal"],
            default="KILL",
            metavar="SIGNAL",
            help="Which one, by name or number.  [default: KILL]",
        ),
        all_roots_option(),
        container_arguments(),
    ],
    examples=(
        ("nestbox kill web", "end it at once"),
        ("nestbox kill -s HUP web", "let it read its configuration again"),
    ),
)

remove_command = Command(
    "rm",
    callback=_remove,
    help="Remove containers and all that exists because of them.\n\n"
    "What an engine created, the engine removes itself; this is for what one has forgotten.",
    params=[
        Option(["-f", "--force"], is_flag=True, help="Remove those that run too, with SIGKILL."),
        all_roots_option(),
        container_arguments(),
    ],
    examples=(
        ("nestbox rm web", "remove what has stopped"),
        ("nestbox rm --force web", "remove it whatever state it is in"),
    ),
)
