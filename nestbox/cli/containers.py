"""What the commands about existing containers have in common: names, their completion, a log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from nestbox.cli import output
from nestbox.cli.errors import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from nestbox.runtime.containers import Seen


class Notes:
    """The log of an operation, for a person: what is less than was asked for is shown."""

    def warning(self, message: str) -> None:
        """Show it."""
        output.note(f"nestbox: {message}")

    def info(self, message: str) -> None:
        """Leave it out."""

    def debug(self, message: str) -> None:
        """Leave it out."""


def state_root(given: str | None) -> str:
    """Return the directory in which containers are looked for first."""
    from nestbox.runtime.roots import default_root

    return os.path.abspath(given) if given else default_root(os.environ, os.geteuid())


def find(name: str, root: str | None) -> Seen:
    """Return the container of a name. Raises NestboxError."""
    from nestbox.runtime.containers import find_container

    return find_container(state_root(root), name)


def for_each(names: Sequence[str], root: str | None, act: Callable[[Seen], None]) -> int:
    """Do something to each container and print its id, as docker does; return the exit code.

    One that fails does not keep the others from it.
    """
    from nestbox.errors import NestboxError

    code = 0
    for name in names:
        try:
            seen = find(name, root)
            act(seen)
        except NestboxError as error:
            output.show_error(error)
            code = FAILED
        else:
            output.say(seen.id)
    return code


def complete_container(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the containers whose ids begin like this."""
    from click.shell_completion import CompletionItem

    from nestbox.runtime.containers import list_containers

    return [
        CompletionItem(one.id, help=one.status)
        for one in list_containers(state_root(ctx.params.get("root")))
        if one.id.startswith(incomplete)
    ]


def container_argument() -> click.Argument:
    """Return the argument that names one container."""
    return click.Argument(["container"], metavar="CONTAINER", shell_complete=complete_container)


def container_arguments() -> click.Argument:
    """Return the argument that names one container or more."""
    return click.Argument(
        ["containers"],
        nargs=-1,
        required=True,
        metavar="CONTAINER...",
        shell_complete=complete_container,
    )


def all_roots_option() -> click.Option:
    """Return the option for the directory in which containers are looked for."""
    from nestbox.cli.command import Option

    return Option(
        ["--root"],
        metavar="DIR",
        help="Look in DIR and in the directories of engines that it knows.  [default: "
        "/run/nestbox, or for other users than root $XDG_RUNTIME_DIR/nestbox]",
    )
