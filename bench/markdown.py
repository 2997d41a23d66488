"""The results as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bench import bundle, comparison, report
from bench.comparison import ALIVE, COMMANDS, LIFECYCLE, OF_LIFECYCLE, PARALLEL, Comparison
from bench.engine import AT_ONCE
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
from bench.report import Machine, Results, Row, Table
from bench.runtimes import STATE_PARENT

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

# What each part of the comparison of runtimes measures: its heading and its explanation.
COMPARISONS: Final = {
    COMMANDS: (
        "Commands",
        f"Every command is a process, timed from its spawn until it was reaped. In each round a "
        f"runtime takes a container of its own through {', '.join(OF_LIFECYCLE[:-1])} and "
        f"{OF_LIFECYCLE[-1]}, whose sum is the {LIFECYCLE}; `state` and `exec` (of `true`) are "
        "called on one that runs all the time. Between `kill` and `delete` the container is "
        "reaped, outside of both times.",
    ),
    PARALLEL: (
        "Launchers at once",
        f"The time from the beginning of {AT_ONCE} lifecycles that begin together to the end of "
        "the last one.",
    ),
    ALIVE: (
        "Beside other containers",
        "One lifecycle while others are alive. They run `sleep` and were each made by the runtime "
        "that is measured, in its own state directory, once for all that is measured beside them; "
        "the runtimes take turns, so that no more are alive than the row says. The floor, launched "
        "in between, shows what the kernel itself takes with so many.",
    ),
}


def page(results: Results) -> str:
    """Return the page: how it was measured, on what, the tables and the targets."""
    parts = [
        *_surroundings(results),
        *_launchers(results),
        *(block for table in results.tables for block in _section(table)),
        *_runtimes(results),
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
            ("load before the run", _load(facts)),
        ),
    )
    if results.controllers_attached:
        names = ", ".join(results.controllers_attached)
        yield (
            f"For the time of the run, cgroup controllers ({names}) were mounted as version 1: "
            "`crun` refuses a hybrid setup that leaves controllers to version 2."
        )


def _load(facts: Machine) -> str:
    load = f"{facts.load_1_minute:.2f}"
    return f"{load}; every launcher at niceness {facts.niceness}" if facts.niceness else load


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
    yield f"{report.launches(table)} launches of each.\n\n{_table(head, rows, texts=1)}"
    yield "Targets:\n\n" + _list(report.verdicts(table.rows))
    if differences := list(_differences(table.rows)):
        yield "Not as configured:\n\n" + _list(differences)


def _runtimes(results: Results) -> Iterator[str]:
    """Yield the blocks of the comparisons, one section for each kind of them."""
    if not results.comparisons:
        return
    yield "## Runtimes as engines call them"
    yield (
        "The same configuration, but for its program, given to each runtime by the commands that "
        f"engines use. Their state is below `{STATE_PARENT}`. The runtimes are interleaved as the "
        "launchers are."
    )
    yield _table(("runtime", "version"), results.runtimes.items())
    for kind, (heading, text) in COMPARISONS.items():
        of_kind = [each for each in results.comparisons if each.kind == kind]
        if of_kind:
            yield f"## {heading}"
            yield text
        for each in of_kind:
            yield from _comparison(each, results)


def _comparison(compared: Comparison, results: Results) -> Iterator[str]:
    head, *rows = comparison.cells(compared)
    title = report.title(compared)
    yield (
        f"{title[0].upper()}{title[1:]}, {comparison.count(compared)} times each:\n\n"
        f"{_table(head, rows, texts=2)}"
    )
    if compared.kind == COMMANDS:
        yield "Target:\n\n" + _list([comparison.verdict(compared, results.runtimes)])


def _differences(rows: Iterable[Row]) -> Iterator[str]:
    yield from (f"{row.name}: {'; '.join(row.differences)}" for row in rows if row.differences)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int | None = None) -> str:
    """Return a table; after so many columns of text, those of numbers are aligned to the right."""
    rule = ["---" if texts is None or at < texts else "---:" for at, _ in enumerate(head)]
    cells = [[text.replace("|", "\\|") for text in row] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
