"""`nestbox exec`: one more process in a container that runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from nestbox.cli.command import Command, Option
from nestbox.cli.containers import Notes, all_roots_option, complete_container, find
from nestbox.errors import StateError, UsageError

if TYPE_CHECKING:
    from nestbox.runtime.containers import Seen


def _exec(
    container: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    detach: bool,
    env: tuple[str, ...],
    user: str | None,
    workdir: str | None,
    cap_add: tuple[str, ...],
    root: str | None,
) -> int:
    from nestbox.runtime.containers import Origin
    from nestbox.runtime.oci.execute import execute
    from nestbox.runtime.oci.requests import ExecRequest, Options

    if not interactive:
        _close_input()

    seen = find(container, root)
    if seen.origin is Origin.RUN:
        raise StateError(
            f'cannot exec in the container "{seen.id}"',
            cause="nestbox run keeps no configuration that more processes could be made by",
            remedy="start what is wanted together with it, or use nestbox-runtime run",
        )
    uid, groups = _ids(seen, user)
    request = ExecRequest(
        id=seen.id,
        args=command,
        tty=tty,
        cwd=workdir,
        env=tuple(_variable(text) for text in env),
        user=uid,
        additional_gids=groups,
        capabilities=tuple(_capability(name) for name in cap_add),
        detach=detach,
    )
    return execute(request, Options(root=seen.root), Notes())


def _close_input() -> None:
    """Let the process read nothing, as docker does without -i."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)


def _variable(text: str) -> str:
    """Return "K=V"; a name alone takes our own value. Raises UsageError."""
    name, separator, _ = text.partition("=")
    if not name:
        raise UsageError(
            f"-e {text!r}", cause="a variable has a name", remedy="write NAME=VALUE or NAME"
        )
    return text if separator else f"{name}={os.environ.get(name, '')}"


def _capability(name: str) -> str:
    """Return a capability as a config.json names it. Raises UsageError."""
    from nestbox.kernel.capabilities import TABLE
    from nestbox.policy.capability_names import read_names

    ((read,),) = read_names((("--cap-add", (name,)),))
    return "ALL_CAPS" if read.number is None else TABLE[read.number].name


def _ids(seen: Seen, user: str | None) -> tuple[str | None, tuple[int, ...]]:
    """Return "uid:gid" of a user of the container, and its further groups.

    Names are looked up in the container's own files, as it sees them at this moment.

    Raises:
        UsageError: the user is malformed, or unknown to the container.
    """
    if user is None:
        return None, ()
    from nestbox.outer.root import read_inside
    from nestbox.policy.identity import person_of

    directory = f"/proc/{seen.pid}/root"
    passwd, group = (read_inside(directory, f"/etc/{name}") for name in ("passwd", "group"))
    person = person_of(user, passwd, group)
    return f"{person.uid}:{person.gid}", person.groups or ()


command = Command(
    "exec",
    callback=_exec,
    help="Run one more process in a container that runs.\n\n"
    "The exit status is that of the process; 125 when nestbox could not run it, 126 when the "
    "program cannot be invoked, 127 when it does not exist.",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    params=[
        Option(["-i", "--interactive"], is_flag=True, help="Pass on standard input."),
        Option(["-t", "--tty"], is_flag=True, help="Give it a terminal of its own."),
        Option(["-d", "--detach"], is_flag=True, help="Do not wait for it."),
        Option(
            ["-e", "--env"],
            multiple=True,
            metavar="NAME[=VALUE]",
            help="Set a variable; without a value the one that it has here.",
        ),
        Option(
            ["-u", "--user"],
            metavar="USER[:GROUP]",
            help="Run as this user, by number or by name in the container's files.",
        ),
        Option(["-w", "--workdir"], metavar="DIR", help="Run in this directory."),
        Option(
            ["--cap-add"],
            multiple=True,
            metavar="CAP",
            help="Add a capability to those of the process.",
        ),
        all_roots_option(),
        click.Argument(["container"], metavar="CONTAINER", shell_complete=complete_container),
        click.Argument(
            ["command"],
            nargs=-1,
            required=True,
            type=click.UNPROCESSED,
            metavar="COMMAND [ARGUMENT]...",
        ),
    ],
    examples=(
        ("nestbox exec -it web sh", "a shell beside what runs there"),
        ("nestbox exec -u nobody web id", "as another user"),
    ),
)
