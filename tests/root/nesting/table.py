"""What each program does in each environment: kept as JSON, shown as a page of docs/reference."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.root.nesting import peers
from tests.root.nesting.catalogue import BY_NAME, ENVIRONMENTS
from tests.root.nesting.peers import Verdict, Way
from tests.root.nesting.session import Session
from tests.users import TREE

FILE: Final = Path(__file__).parent / "peers.json"
PAGE: Final = TREE / "docs/reference/environments.md"
UPDATE: Final = "NESTBOX_UPDATE_PEERS"
NESTBOX: Final = "nestbox"

_INTRODUCTION: Final = """\
# Environments

- [What starts where](#what-starts-where)
- [Why, and with what](#why-and-with-what)

What `nestbox run` and others do where something is missing. Each environment is made for real by
the tests (`tests/root/nesting`), and each program is asked for the same small container in it: a
root directory of its own in which `/proc` shows the container and `/dev/null` is the null device.

"yes" is the plain call: `nestbox run --rootfs DIR`; `runc run` and `crun run` with what their own
`spec` makes; `podman run --rootfs DIR`; `bwrap --bind DIR / --proc /proc --dev /dev --unshare-all`.
A number says that a plain call fails and another one works, which the notes tell: for runc and crun
`spec --rootless`, then a configuration with fewer settings, without `pivot_root`, with the outer
/proc; for podman no network, no cgroups, no limits, `--privileged`, the outer pid namespace; for
bubblewrap `--unshare-user`, fewer namespaces, the outer /proc and /dev.

What nestbox gave up to start is in the golden texts beside the tests, and in each launch's record:
`nestbox explain`.

"""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One program: its version, and what it did by environment."""

    version: str
    verdicts: dict[str, Verdict]


Table = dict[str, Column]


def programs() -> dict[str, tuple[tuple[str, ...], Callable[[], Iterator[Way]]]]:
    """Return by name how a program tells its version, and the ways to call it."""
    runc, crun = os.environ.get("RUNC", "runc"), os.environ.get("CRUN", "crun")
    return {
        NESTBOX: (("nestbox", "version"), peers.nestbox),
        "runc": ((runc, "--version"), lambda: peers.runtime(runc)),
        "crun": ((crun, "--version"), lambda: peers.runtime(crun)),
        "podman": (("podman", "--version"), peers.podman),
        "bubblewrap": (("bwrap", "--version"), peers.bubblewrap),
    }


def judge_all(session: Session) -> dict[str, Verdict]:
    """Return what each program does in one environment."""
    return {name: peers.judge(session, ways()) for name, (_, ways) in programs().items()}


def load() -> Table:
    """Return the table that was made last."""
    return msgspec.json.decode(FILE.read_bytes(), type=Table)


def save(table: Table) -> None:
    """Keep a table, and write its page."""
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
    PAGE.write_text(page(table))


def page(table: Table) -> str:
    """Return the page of a table."""
    names = list(table)
    known = [one.name for one in ENVIRONMENTS if one.name in table[NESTBOX].verdicts]
    notes: list[str] = []
    rows = [_row(table, environment, notes) for environment in known]
    versions = ", ".join(f"{name} {column.version}" for name, column in table.items())
    lines = [
        f"| environment | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
        *rows,
    ]
    alone = [name for name in known if works_alone(table, name)]
    summary = f"{len(known)} environments; nestbox alone starts a container in: {', '.join(alone)}."
    return (
        _INTRODUCTION
        + f"Made with {versions}, on a machine with cgroup version 1.\n\n"
        + "## What starts where\n\n"
        + "\n".join(lines)
        + f"\n\n{summary}\n\n## Why, and with what\n\n"
        + "\n".join(f"{number}. {note}" for number, note in enumerate(notes, start=1))
        + "\n"
    )


def works_alone(table: Table, environment: str) -> bool:
    """Return whether nestbox starts a container where no other program does."""
    others = [column for name, column in table.items() if name != NESTBOX]
    return table[NESTBOX].verdicts[environment].works and not any(
        column.verdicts[environment].works for column in others
    )


def _row(table: Table, environment: str, notes: list[str]) -> str:
    cells = [_cell(name, column.verdicts[environment], notes) for name, column in table.items()]
    about = BY_NAME[environment].about
    return f"| **{environment}**: {about} | {' | '.join(cells)} |"


def _cell(name: str, verdict: Verdict, notes: list[str]) -> str:
    if verdict.works and not verdict.how:
        return "yes"
    note = f"{name}: `{verdict.how}`" if verdict.works else f"{name}: {_plain(verdict.reason)}"
    if note not in notes:
        notes.append(note)
    return f"{'yes' if verdict.works else 'no'} ({notes.index(note) + 1})"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return f"`{text.replace('`', chr(39))}`"


def version_of(words: Iterable[str], session: Session) -> str:
    """Return the version that a program prints, which is the last word of its first line."""
    said = session.call(*words).out.splitlines()
    return said[0].split()[-1] if said else "?"
