"""`nestbox-runtime ps`: the processes of a container, as numbers or as ps(1) shows them."""

from __future__ import annotations

import os
import sys

from nestbox import json_text
from nestbox.cli.oci.command import TEXT, Call, Command, Option
from nestbox.errors import LaunchError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def _ps(call: Call) -> int:
    from nestbox.runtime.cgroup.files import Kept
    from nestbox.runtime.cgroup.processes import processes
    from nestbox.runtime.oci.store import Store

    form = call.values.text("format", "table")
    if form not in {"table", "json"}:
        raise UsageError(
            "invalid format option", cause=f"there is no format {form[:40]!r}",
            remedy="use table or json",
        )  # fmt: skip
    container = Store(call.session.root).load(call.container)
    pids = processes(Kept(container.state.cgroup))
    if not pids and (first := container.process()) is not None:
        pids = (first.pid,)  # without cgroups of its own it is all that can be found
    if form == "json":
        sys.stdout.write(json_text.encode(list(pids)) + "\n")
    else:
        lines = ps_lines(call.arguments[1:] or ["-ef"], pids)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def ps_lines(arguments: Sequence[str], pids: Collection[int]) -> list[str]:
    """Return the heading of ps(1) and its lines about these processes.

    Raises:
        LaunchError: there is no ps, it failed, or its output has no column PID.
    """
    from subprocess import PIPE, STDOUT, run

    try:
        done = run(["ps", *arguments], stdout=PIPE, stderr=STDOUT, check=False)
    except OSError as error:
        raise _failed((error.strerror or str(error)).lower()) from error
    text = os.fsdecode(done.stdout)
    if done.returncode != 0:
        raise _failed(f"exit status {done.returncode}: {text.strip()}")
    heading, *lines = text.splitlines() or [""]
    if "PID" not in heading.split():
        raise _failed("couldn't find PID field in ps output")
    column = heading.split().index("PID")
    wanted = {str(pid) for pid in pids}
    return [heading, *(line for line in lines if _word(line, column) in wanted)]


def _word(line: str, column: int) -> str:
    words = line.split()
    return words[column] if column < len(words) else ""


def _failed(cause: str) -> LaunchError:
    return LaunchError(
        "cannot list the processes with ps",
        cause=cause,
        remedy="install ps (package procps), or use --format json",
    )


COMMAND = Command(
    "ps",
    "ps displays the processes running inside a container",
    _ps,
    arguments="<container-id> [ps options]",
    options=(Option("format f", TEXT, "select one of: table or json", default="table"),),
    maximum=None,
    stop_early=True,
)
