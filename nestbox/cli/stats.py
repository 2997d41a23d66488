"""`nestbox stats`: what containers use, once or again and again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from nestbox.cli import output as out
from nestbox.cli.command import Command, Option, output_option
from nestbox.cli.containers import all_roots_option, complete_container, find, state_root
from nestbox.errors import NestboxError

if TYPE_CHECKING:
    from nestbox.runtime.containers import Seen
    from nestbox.runtime.usage import Sample, Usage

import click

_INTERVAL_SECONDS: Final = 1.0
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_CLEAR: Final = "\033[H\033[J"
_LIVING: Final = frozenset({"created", "running", "paused"})


def _stats(containers: tuple[str, ...], once: bool, output: str, root: str | None) -> None:
    """Print what containers use, of each second. Raises NestboxError."""
    import time

    named = [find(name, root) for name in containers]
    before: dict[str, Sample] = _samples(named or _living(root), strict=bool(named))
    while True:
        time.sleep(_INTERVAL_SECONDS)
        chosen = named or _living(root)
        now = _samples(chosen, strict=False)
        _show(_usages(chosen, before, now), output, screen=not once)
        if once or (named and not now):
            return
        before = now


def _living(root: str | None) -> list[Seen]:
    from nestbox.runtime.containers import list_containers

    return [one for one in list_containers(state_root(root)) if one.status in _LIVING]


def _samples(containers: list[Seen], *, strict: bool) -> dict[str, Sample]:
    """Return the counters of those that have some; ``strict``: one that has none is an error."""
    from nestbox.runtime.usage import sample

    found = {}
    for one in containers:
        try:
            found[f"{one.root}/{one.id}"] = sample(one)
        except NestboxError:
            if strict:
                raise
    return found


def _usages(
    containers: list[Seen], before: dict[str, Sample], now: dict[str, Sample]
) -> list[Usage]:
    from nestbox.runtime.usage import usage

    keys = [(one, f"{one.root}/{one.id}") for one in containers]
    return [usage(one, before[key], now[key]) for one, key in keys if key in before and key in now]


def _show(usages: list[Usage], output: str, *, screen: bool) -> None:
    if output == "json":
        out.say_json(usages)
        return
    if screen and sys.stdout.isatty():
        sys.stdout.write(_CLEAR)
    out.table(
        ("CONTAINER", "CPU %", "MEMORY", "LIMIT", "MEM %", "READ", "WRITTEN", "PIDS"),
        [_row(one) for one in usages],
        right=(1, 2, 3, 4, 5, 6, 7),
    )
    out.flush()


def _row(one: Usage) -> tuple[str, ...]:
    share = 100 * one.memory / one.memory_limit if one.memory_limit else 0.0
    return (
        one.id,
        f"{one.cpu_percent:.2f}",
        size(one.memory),
        size(one.memory_limit),
        f"{share:.2f}",
        size(one.read),
        size(one.written),
        str(one.processes),
    )


def size(number: int) -> str:
    """Return bytes in the unit in which they are a number below 1024."""
    value = float(number)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.4g}{unit}"
        value /= 1024
    return f"{value:.4g}{_UNITS[-1]}"


command = Command(
    "stats",
    callback=_stats,
    help="Show what containers use: processor, memory, disk and processes.\n\n"
    "Without CONTAINER: all that run and have cgroups of their own. It goes on each second until "
    "it is interrupted.",
    params=[
        Option(["--no-stream", "once"], is_flag=True, help="Show it once, after a second."),
        output_option(),
        all_roots_option(),
        click.Argument(
            ["containers"], nargs=-1, metavar="[CONTAINER]...", shell_complete=complete_container
        ),
    ],
    examples=(
        ("nestbox stats --no-stream", "all that run and are counted"),
        ("nestbox stats --no-stream web -o json", "one of them once, for a program"),
    ),
)
