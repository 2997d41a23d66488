"""One run of the benchmark: what is there, whether it does the same, how long it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench import (
    bundle,
    controllers,
    engine,
    filters,
    hierarchies,
    inside,
    launchers,
    measure,
    process,
    programs,
    root,
    scratch,
)
from bench import runtimes as oci
from bench.comparison import ALIVE, COMMANDS, KINDS, PARALLEL, Comparison
from bench.inside import Inside
from bench.launchers import FLOOR, Launcher, Setting
from bench.report import NO_SECCOMP, Results, Row, Table, machine
from bench.runtimes import Runtime

LAUNCHES: Final = "launches"
PARTS: Final = (LAUNCHES, *KINDS)


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    rounds: int  # of launches
    warmup: int
    engine: engine.Rounds  # of what an engine asks


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured."""

    rows: frozenset[str]  # of launchers.ROWS and runtimes.ROWS
    parts: frozenset[str]  # of PARTS
    seccomp: tuple[str, ...]  # "none", "default", or both


def run(effort: Effort, choice: Choice) -> Results:
    """Return the results of what was chosen, as far as this machine has it.

    Raises:
        LaunchFailedError: a launch failed, so that its figure would be worth nothing.
        NotAvailableError: nothing of it is there.
        NoBusyboxError: there is nothing to build the root from.
        StillMountedError: a launcher left mounts behind.
    """
    facts = machine()
    absent: dict[str, None] = {}
    tables: list[Table] = []
    compared: list[Comparison] = []
    with (
        scratch.directory() as work,
        scratch.directory(oci.STATE_PARENT) as states,
        controllers.mounted() as attached,
    ):
        tree = root.build(work / "root")
        runtimes, lines = oci.available(states, choice.rows.__contains__)
        with oci.subreaper(runtimes):
            for mode in choice.seccomp:
                try:
                    setting = _setting(work / mode, tree, mode)
                except programs.NotAvailableError as error:
                    absent[f"what has seccomp is left out: {error}"] = None
                    continue
                if LAUNCHES in choice.parts:
                    table, missing = _table(setting, mode, effort, choice)
                    tables.append(table)
                    absent |= dict.fromkeys(missing)
                compared += _compared(runtimes, setting, mode, effort.engine, choice)
        if choice.parts != {LAUNCHES}:
            absent |= dict.fromkeys(lines)
    return Results(
        machine=facts,
        controllers_attached=attached,
        absent=tuple(absent),
        tables=tuple(tables),
        runtimes={each.name: each.version for each in runtimes},
        comparisons=tuple(compared),
    )


def _table(
    setting: Setting, mode: str, effort: Effort, choice: Choice
) -> tuple[Table, Sequence[str]]:
    """Return the launches in one mode, and a line for each launcher that this machine lacks."""
    found, lines = launchers.available(setting, choice.rows.__contains__)
    if not found:
        raise programs.NotAvailableError("; ".join(["there is nothing to measure", *lines]))
    return Table(seccomp=mode, rows=_rows(found, setting, effort)), lines


def _compared(
    runtimes: Sequence[Runtime], setting: Setting, mode: str, rounds: engine.Rounds, choice: Choice
) -> Iterator[Comparison]:
    """Yield what is compared in one mode.

    What grows with the containers alive is measured without a filter alone: it has no part in it,
    and to make thousands of containers takes minutes.
    """
    kinds = [kind for kind in KINDS if kind in choice.parts]
    if mode != choice.seccomp[0] and ALIVE in kinds:
        kinds.remove(ALIVE)
    if not runtimes or not kinds:
        return
    directory = oci.write_bundle(setting.work / "bundle", setting)
    for kind in kinds:
        if kind == COMMANDS:
            series = engine.commands(runtimes, directory, rounds, _progress)
        elif kind == PARALLEL:
            series = engine.parallel(runtimes, directory, rounds, _progress)
        else:
            floor, _ = launchers.available(setting, lambda row: row == FLOOR)
            series = engine.alive(runtimes, directory, next(iter(floor), None), rounds, _progress)
        yield Comparison(kind=kind, seccomp=mode, series=series)


def _setting(work: Path, tree: Path, seccomp: str) -> Setting:
    """Return what the launchers of one table have in common."""
    work.mkdir()
    return Setting(
        work=work,
        root=tree,
        restrictions=bundle.restrictions(),
        cgroups=hierarchies.here(),
        seccomp=None if seccomp == NO_SECCOMP else filters.default(),
    )


def _rows(chosen: Sequence[Launcher], setting: Setting, effort: Effort) -> tuple[Row, ...]:
    looks = {each.name: _look(each) for each in chosen if each.contained}
    peaks = _peaks(chosen, setting.work)
    seconds = measure.sample(chosen, count=effort.rounds, warmup=effort.warmup, progress=_progress)
    return tuple(
        Row(
            name=each.name,
            version=each.version,
            seconds=seconds[each.name],
            peak_kib=peaks.get(each.name),
            differences=_differences(each.name, looks, filtered=setting.seccomp is not None),
        )
        for each in chosen
    )


def _look(launcher: Launcher) -> Inside:
    try:
        return inside.parse(launcher.look(inside.PROBE))
    except ValueError as error:
        raise process.LaunchFailedError(f"{launcher.name} runs no shell: {error}") from error


def _differences(name: str, looks: dict[str, Inside], *, filtered: bool) -> tuple[str, ...]:
    """Return how a launcher's container differs from what the configuration asks for."""
    if name not in looks:
        return ()
    outer = frozenset(os.readlink(f"/proc/self/ns/{kind}") for kind in inside.NAMESPACES)
    shared = inside.shared_namespaces(looks[name], outer)
    lines = [f"shares the {kind} namespace" for kind in shared]
    if FLOOR in looks:
        lines += inside.mount_differences(looks[FLOOR].mounts, looks[name].mounts)
    if name.startswith(FLOOR):
        return tuple(lines)
    if looks[name].cgroup_shared:
        lines.append("makes no cgroup")
    mask = bundle.capability_mask()
    lines += inside.privilege_differences(looks[name], capabilities=mask, filtered=filtered)
    return tuple(lines)


def _peaks(chosen: Sequence[Launcher], work: Path) -> dict[str, int]:
    """Return the peak resident KiB of each launcher's largest process, over one launch."""
    try:
        meter = programs.build("gcc", "peak.c", work / "peak")
    except programs.NotAvailableError:
        return {}
    return {each.name: each.peak_kib(str(meter)) for each in chosen}


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\rround {done} of {of}", end=end, file=sys.stderr, flush=True)
