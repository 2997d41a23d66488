"""`nestbox-runtime list`: the containers of a root."""

from __future__ import annotations

import os
import sys

from nestbox import json_text
from nestbox.cli.oci.command import FLAG, TEXT, Call, Command, Option
from nestbox.cli.oci.log import escaped
from nestbox.errors import NestboxError, StateError, UsageError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_COLUMNS = ("id", "pid", "status", "bundle", "created", "owner")
_NARROWEST = 12  # columns of a terminal, as with the others' tables
_SPACE = 3


def _list(call: Call) -> int:
    form = call.values.text("format", "table")
    if form not in {"table", "json"}:
        raise UsageError(
            "invalid format option", cause=f"there is no format {form[:40]!r}",
            remedy="use table or json",
        )  # fmt: skip
    found = _containers(call)
    if call.values.flag("quiet"):
        sys.stdout.write("".join(f"{one['id']}\n" for one in found))
    elif form == "json":
        sys.stdout.write(json_text.encode(found) + "\n")
    else:
        sys.stdout.write(_table([[escaped(str(one[name])) for name in _COLUMNS] for one in found]))
    return 0


def _check_there(root: str) -> None:
    """Refuse a directory that was named and cannot be looked into. Raises StateError."""
    try:
        os.stat(os.path.join(root, ""))
    except OSError as error:
        raise StateError(
            f"open {root}",
            cause=reason(error),
            remedy="name the directory with the state of containers",
        ) from error


def _containers(call: Call) -> list[dict[str, Any]]:
    """Return all that can be read; of the others standard error tells. Raises StateError."""
    from nestbox.runtime.oci.description import describe
    from nestbox.runtime.oci.store import NoContainer, Store

    root = call.session.root
    if call.session.root_given:
        _check_there(root)
    store = Store(root)
    found = []
    for name in store.names():
        try:
            found.append(describe(store.load(name)))
        except NoContainer:
            continue  # it was removed meanwhile, or is one of `nestbox run`
        except NestboxError as error:
            sys.stderr.write(f"load container {escaped(name)}: {escaped(str(error))}\n")
    return found


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [[name.upper() for name in _COLUMNS], *rows]
    widths = [max(_NARROWEST, max(map(len, cells)) + _SPACE) for cells in zip(*lines, strict=True)]
    widths[-1] = 0
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + "\n"
        for line in lines
    )


COMMAND = Command(
    "list",
    "lists containers started with the given root",
    _list,
    arguments='\n\nWhere the given root is specified via the global option "--root".',
    options=(
        Option("format f", TEXT, "select one of: table or json", default="table"),
        Option("quiet q", FLAG, "display only container IDs"),
    ),
    minimum=0,
    maximum=0,
)
