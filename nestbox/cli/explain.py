"""`nestbox explain`: why a container got what it got, also after it has ended."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from nestbox.cli.command import Command, Option, output_option, root_option
from nestbox.errors import StateError, UsageError

if TYPE_CHECKING:
    from nestbox.runtime.record import Record


def explain(
    container: str | None,
    names: tuple[str, ...],
    output: str,
    state_root: str | None,
    pid: int | None,
    last: bool,
) -> None:
    """Print the account of a container, of some of its capabilities, or the list of records.

    Raises:
        StateError: there is no record of that container, or it cannot be read.
        UsageError: a capability's name is bad.
    """
    from nestbox.runtime.context import context_of_process

    root = context_of_process(state_root).root
    if pid is not None and (last or container is not None):
        raise UsageError(
            "--pid with a container",
            cause="a process is explained or a container, not both",
            remedy="leave one of them out",
        )
    if pid is not None:
        from nestbox.cli.explain_process import explain_process

        explain_process(pid, root, output)
        return
    if last:
        names = names if container is None else (container, *names)
        container = _newest(root)
    if container is None:
        _list(root, output)
        return
    numbers = _numbers(names)
    record = _load(root, container)
    from nestbox.doctor.account import account_of

    account = account_of(record, numbers, status=_status(root, record))
    if output == "json":
        from nestbox.cli.output import say_json

        say_json(account)
        return
    from nestbox.cli.page import page, show
    from nestbox.doctor.account_text import render_account, render_capabilities

    show((render_capabilities if names else render_account)(account, page()))


def _numbers(names: tuple[str, ...]) -> frozenset[int] | None:
    """Return the numbers of the capabilities named; None is all. Raises UsageError."""
    from nestbox.policy.capability_names import read_names

    (read,) = read_names((("the argument", names),))
    if not read or any(name.is_all for name in read):
        return None
    return frozenset(name.number for name in read if name.number is not None)


def _load(root: str, container: str) -> Record:
    """Return the record of a container, be it an engine's; an unknown name is answered with a
    similar one.

    Raises:
        StateError: there is none, or it cannot be read.
    """
    from nestbox.runtime.history import list_records, load_record
    from nestbox.runtime.roots import known_roots

    for other in known_roots(root)[1:]:
        # A container of an engine, which keeps its containers below a root of its own.
        try:
            return load_record(other, container)
        except StateError:
            continue
    try:
        return load_record(root, container)
    except StateError as error:
        known = list_records(root)
        similar = [] if container in known else _similar(container, known)
        if not similar:
            raise
        raise StateError(
            error.what, cause=error.cause, remedy=f"did you mean {' or '.join(similar)}?"
        ) from error


def _newest(root: str) -> str:
    """Return the container of the newest record. Raises StateError: there is none."""
    from nestbox.runtime.history import list_records

    known = list_records(root)
    if not known:
        raise StateError(
            "no container to explain",
            cause=f"there are no records in {root!r}",
            remedy="nestbox run makes one for each container, also for one that did not start",
        )
    return known[-1]


def _status(root: str, record: Record) -> str:
    """Return what has become of a container of an engine; nothing for one of `nestbox run`."""
    from nestbox.runtime.oci.store import Store
    from nestbox.runtime.roots import known_roots

    if not record.bundle:
        return ""
    for one in known_roots(root):
        try:
            return Store(one).load(record.id).status()
        except StateError:
            continue
    return "deleted"


def _similar(container: str, known: tuple[str, ...]) -> list[str]:
    """Return the few ids that begin as the name does, or else look like it."""
    from difflib import get_close_matches

    newest = known[::-1]
    beginning = [name for name in newest if name.startswith(container)]
    return beginning[:3] or get_close_matches(container, newest, n=3)


def _list(root: str, output: str) -> None:
    """Print which records there are, the newest first."""
    from nestbox.runtime.history import list_records, load_record

    rows: list[dict[str, object]] = []
    for name in reversed(list_records(root)):
        try:
            record = load_record(root, name)
        except (StateError, UsageError) as error:
            rows.append({"container": name, "error": f"{error.what}: {error.cause}"})
        else:
            rows.append(_row(record))
    if output == "json":
        from nestbox.cli.output import say_json

        say_json(rows)
    elif rows:
        from nestbox.cli.page import page, show
        from nestbox.doctor.account_text import render_list

        show(render_list(rows, page()))
    else:
        from nestbox.cli.output import say

        say(f"no records in {root}: nestbox run makes one for each container")


def _row(record: Record) -> dict[str, object]:
    return {
        "container": record.id,
        "created": record.created,
        "profile": record.profile,
        "exit_code": record.exit_code,
        "error": record.error,
        "command": shlex.join(record.command),
    }


command = Command(
    "explain",
    callback=explain,
    help="Say why a container got what it got, also after it has ended.\n\n"
    "Of each capability: who asked, what was given in each of the five sets, why not more, where "
    "it was lost and what brings it back. Without CAP: a table of all capabilities, and the "
    "decisions on everything else, those that gave less first. Without CONTAINER: which records "
    "there are.",
    params=[
        click.Argument(["container"], required=False),
        click.Argument(["names"], nargs=-1, metavar="[CAP]..."),
        Option(
            ["--last"],
            is_flag=True,
            help="Explain the newest container, also one that did not start.",
        ),
        Option(
            ["--pid"],
            type=click.IntRange(min=1),
            metavar="PID",
            help="Explain a process instead: its sets, and where on the way to it capabilities "
            "were lost.",
        ),
        output_option(),
        root_option(),
    ],
    examples=(
        ("nestbox explain", "which containers there are records of"),
        ("nestbox explain --last", "why the last launch failed, or what it got"),
        ("nestbox explain --pid 1", "what the first process here has, and lacks"),
    ),
)
