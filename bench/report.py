"""The results as a table for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import comparison as compared
from bench.comparison import Comparison
from bench.launchers import COMMAND, CRUN, FLOOR, PYTHON, RUNC
from bench.measure import Summary, summarise

SCHEMA_VERSION: Final = 2
NO_SECCOMP: Final = "none"
_UNKNOWN: Final = "-"
_HEAD: Final = ("", "median", "p10", "p90", "min", "x floor", "x crun", "x runc", "peak MiB")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found out about one launcher."""

    name: str
    version: str
    seconds: list[float]  # per launch, in the order of the rounds
    peak_kib: int | None  # of its largest process; None when it could not be asked
    differences: tuple[str, ...]  # of its container from the configuration that was asked for


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures depend on besides the launchers."""

    cpu: str
    cpus: int
    memory_bytes: int
    kernel: str
    system: str
    python: str
    load_1_minute: float  # before the run
    niceness: int = 0  # of the benchmark, and so of every launcher


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The launchers that were measured together, under the same configuration."""

    seccomp: str  # "none" or "default"
    rows: tuple[Row, ...]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the benchmark."""

    machine: Machine
    controllers_attached: tuple[str, ...]  # mounted as version 1 for the run, for crun
    absent: tuple[str, ...]  # a line for each launcher that is left out
    tables: tuple[Table, ...]
    runtimes: dict[str, str]  # the versions of those that were compared, by name
    comparisons: tuple[Comparison, ...]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio that is not to be exceeded."""

    row: str
    of: str
    most: float


# What nestbox promises of itself.
TARGETS: Final = (
    Target(row=PYTHON, of=CRUN, most=0.35),
    Target(row=PYTHON, of=FLOOR, most=1.6),
    Target(row=COMMAND, of=RUNC, most=2.0),
)
# How the launchers of the targets are written outside of the table.
_SPELLED: Final = {
    PYTHON: "nestbox.run",
    COMMAND: "`nestbox run`",
    FLOOR: "the floor",
    CRUN: "`crun run`",
    RUNC: "`runc run`",
}


def title(table: Table | Comparison) -> str:
    """Return what tells a table from the other one."""
    return "without seccomp" if table.seccomp == NO_SECCOMP else "with nestbox's seccomp profile"


def launches(table: Table) -> int:
    """Return how many launches of each launcher were measured."""
    return len(table.rows[0].seconds) if table.rows else 0


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the head of the table and its rows: times in milliseconds, ratios of medians."""
    medians = _medians(rows)
    return [_HEAD, *(_cells(row, medians) for row in rows)]


def grid(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table of cells, aligned for a terminal."""
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Return a line for each target: met, missed, or not measured."""
    medians = _medians(rows)
    versions = {row.name: row.version for row in rows}
    found = []
    for target in TARGETS:
        version = f" ({versions[target.of]})" if target.of in versions else ""
        limit = f"{_SPELLED[target.row]} at most {target.most} x {_SPELLED[target.of]}{version}"
        ratio = _ratio(medians, target.row, target.of)
        if ratio is None:
            found.append(f"{limit}: not measured")
        else:
            found.append(f"{limit}: {ratio:.3f}, {'met' if ratio <= target.most else 'missed'}")
    return found


def machine() -> Machine:
    """Return the facts about this machine."""
    return Machine(
        cpu=_cpu(),
        cpus=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        system=_system(),
        python=platform.python_version(),
        load_1_minute=os.getloadavg()[0],
        niceness=os.getpriority(os.PRIO_PROCESS, 0),
    )


def lines(results: Results) -> Iterator[str]:
    """Yield what is printed: the machine, the tables with what was not equal, the verdicts."""
    facts = results.machine
    yield f"{facts.cpu}, {facts.cpus} cpus, Linux {facts.kernel}, {facts.system}"
    yield f"load before the run {facts.load_1_minute:.2f}"
    yield from results.absent
    for table in results.tables:
        yield from ("", f"{title(table)}, milliseconds, {launches(table)} launches each")
        yield from grid(cells(table.rows))
        yield from (
            f"{row.name}: {'; '.join((row.version, *row.differences))}" for row in table.rows
        )
    for comparison in results.comparisons:
        yield from ("", f"{comparison.kind} {title(comparison)}, milliseconds")
        yield from grid(compared.cells(comparison))
    yield from (f"{name}: {version}" for name, version in results.runtimes.items())
    for table in results.tables:
        yield from ("", f"targets {title(table)}", *verdicts(table.rows))
    for comparison in results.comparisons:
        if comparison.kind == compared.COMMANDS:
            verdict = compared.verdict(comparison, results.runtimes)
            yield from ("", f"target of the commands {title(comparison)}", verdict)


def document(results: Results) -> str:
    """Return the JSON document: all facts, all samples in seconds, and their summaries."""
    content: dict[str, Any] = msgspec.to_builtins(results)
    rows = [row for table in content["tables"] for row in table["rows"]]
    rows += [series for comparison in content["comparisons"] for series in comparison["series"]]
    for row in rows:
        row.update(msgspec.to_builtins(summarise(row["seconds"])))
    return json.dumps({"schema": SCHEMA_VERSION, **content}, indent=1) + "\n"


def _cells(row: Row, medians: Mapping[str, float]) -> tuple[str, ...]:
    summary: Summary = summarise(row.seconds)
    times = (summary.median_ms, summary.p10_ms, summary.p90_ms, summary.min_ms)
    ratios = [_ratio(medians, row.name, of) for of in (FLOOR, CRUN, RUNC)]
    return (
        row.name,
        *(f"{value:.2f}" for value in times),
        *(_UNKNOWN if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        _UNKNOWN if row.peak_kib is None else f"{row.peak_kib / 1024:.1f}",
    )


def _medians(rows: Sequence[Row]) -> dict[str, float]:
    return {row.name: summarise(row.seconds).median_ms for row in rows}


def _ratio(medians: Mapping[str, float], name: str, of: str) -> float | None:
    if name not in medians or of not in medians:
        return None
    return medians[name] / medians[of]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"
