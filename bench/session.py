"""One run of the benchmark: what is there, whether it does the same, how long it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench import (
    bundle,
    controllers,
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
from bench.inside import Inside
from bench.launchers import FLOOR, Launcher, Setting
from bench.report import NO_SECCOMP, Results, Row, Table, machine


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    rounds: int
    warmup: int


def run(effort: Effort, *, wanted: Callable[[str], bool], seccomp: Sequence[str]) -> Results:
    """Return the results of the wanted launchers, as far as this machine has them.

    Args:
        effort: how much to measure.
        wanted: whether a row is to be measured, by its name.
        seccomp: which tables: "none", "default", or both.

    Raises:
        LaunchFailedError: a launch failed, so that its figure would be worth nothing.
        NotAvailableError: none of them is there.
        NoBusyboxError: there is nothing to build the root from.
        StillMountedError: a launcher left mounts behind.
    """
    facts = machine()
    absent: dict[str, None] = {}
    tables = []
    with scratch.directory() as work, controllers.mounted() as attached:
        tree = root.build(work / "root")
        for mode in seccomp:
            try:
                setting = _setting(work / mode, tree, mode)
            except programs.NotAvailableError as error:
                absent[f"the table with seccomp is left out: {error}"] = None
                continue
            found, lines = launchers.available(setting, wanted)
            absent |= dict.fromkeys(lines)
            if not found:
                raise programs.NotAvailableError("; ".join(["there is nothing to measure", *lines]))
            rows = _rows(found, setting, effort)
            tables.append(Table(seccomp=mode, rows=rows))
    return Results(
        machine=facts,
        controllers_attached=attached,
        absent=tuple(absent),
        tables=tuple(tables),
    )


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
