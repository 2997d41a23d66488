"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bench import bundle, report
from bench.launchers import (
    BARE_PYTHON,
    BUBBLEWRAP,
    COMMAND,
    CRUN,
    CRUN_NO_CGROUP,
    FLOOR,
    GLIBC_FLOOR,
    PYTHON,
    RUNC,
)
from bench.report import Results, Row, Table

_MADE: Final = "<!-- Made by `python -m bench --markdown FILE`; measure again, do not edit. -->"

# What each row measures.
LAUNCHERS: Final = {
    FLOOR: "the least that a launch can do: a C program that makes the namespaces and the mounts, "
    "pivots, executes the program and waits for it; no capabilities, no seccomp, no cgroup",
    GLIBC_FLOOR: "the same program with the other C library",
    PYTHON: "`nestbox.run` in a Python process that is already running, from the call to its "
    "return",
    COMMAND: "`nestbox run`, from its start to its end",
    BARE_PYTHON: "an interpreter that does nothing: the least that a command in Python can take",
    CRUN: "`crun run`",
    CRUN_NO_CGROUP: "`crun --cgroup-manager=disabled run`, which makes no cgroup for the container",
    RUNC: "`runc run`",
    BUBBLEWRAP: "`bwrap`, as near to the configuration as it can be brought",
}


def page(results: Results) -> str:
    """Return the page: how it was measured, on what, the tables and the targets."""
    parts = [
        *_surroundings(results),
        *_launchers(results),
        *(block for table in results.tables for block in _section(table)),
    ]
    blocks = [_MADE, "# Performance", _contents(parts), _method(), *parts]
    return "\n\n".join(blocks) + "\n"


def _contents(parts: Sequence[str]) -> str:
    """Return a list of links to the headings among these blocks."""
    headings = [part.removeprefix("## ") for part in parts if part.startswith("## ")]
    return "\n".join(f"- [{heading}](#{_anchor(heading)})" for heading in headings)


def _anchor(heading: str) -> str:
    """Return what a Markdown viewer makes of a heading to link to it."""
    kept = (char for char in heading.lower() if char.isalnum() or char in " -_")
    return "".join(kept).replace(" ", "-")


def _method() -> str:
    kinds = ", ".join(bundle.NAMESPACES)
    return (
        "Every launcher runs a static `true` in the same root file system, as root, with the same "
        f"configuration: new namespaces ({kinds}), the same mounts, masked and read-only paths, "
        f"and {len(bundle.CAPABILITIES)} capabilities. What a launcher does differently is listed "
        "below its table.\n\n"
        "Launches are interleaved: a round holds one of each launcher, and each round starts with "
        "another. Times are in milliseconds; the ratios are those of the medians. The peak is the "
        "resident memory of the largest process of one launch, the launcher's own included."
    )


def _surroundings(results: Results) -> Iterator[str]:
    facts = results.machine
    yield "## Machine"
    yield _table(
        ("", ""),
        (
            ("processor", f"{facts.cpu}, {facts.cpus} cpus"),
            ("memory", f"{facts.memory_bytes / (1 << 30):.1f} GiB"),
            ("kernel", f"Linux {facts.kernel}"),
            ("system", facts.system),
            ("Python", facts.python),
            ("load before the run", f"{facts.load_1_minute:.2f}"),
        ),
    )
    if results.controllers_attached:
        names = ", ".join(results.controllers_attached)
        yield (
            f"For the time of the run, cgroup controllers ({names}) were mounted as version 1: "
            "`crun` refuses a hybrid setup that leaves controllers to version 2."
        )


def _launchers(results: Results) -> Iterator[str]:
    versions = {row.name: row.version for table in results.tables for row in table.rows}
    rows = [(name, LAUNCHERS[name], version) for name, version in versions.items()]
    yield "## Launchers"
    yield _table(("row", "what is measured", "version"), rows)
    if results.absent:
        yield _list(results.absent)


def _section(table: Table) -> Iterator[str]:
    heading = report.title(table)
    yield f"## {heading[0].upper()}{heading[1:]}"
    head, *rows = report.cells(table.rows)
    yield f"{report.launches(table)} launches of each.\n\n{_table(head, rows, numbers=True)}"
    yield "Targets:\n\n" + _list(report.verdicts(table.rows))
    if differences := list(_differences(table.rows)):
        yield "Not as configured:\n\n" + _list(differences)


def _differences(rows: Iterable[Row]) -> Iterator[str]:
    yield from (f"{row.name}: {'; '.join(row.differences)}" for row in rows if row.differences)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """Return a table; in one of numbers all columns but the first are aligned to the right."""
    rule = ["---", *("---:" if numbers else "---" for _ in head[1:])]
    cells = [[text.replace("|", "\\|") for text in row] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
