"""Finding what no living container owns, without touching it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from nestbox.kernel.reading import read_file
from nestbox.outer.facts import Subject
from nestbox.outer.probe import observe
from nestbox.runtime.cgroup.limits import PREFIX
from nestbox.runtime.context import Context
from nestbox.runtime.prepare import LAYERS
from nestbox.runtime.processes import start_time
from nestbox.runtime.state import Claim, abandoned, read_process


class LeakKind(StrEnum):
    """What is left."""

    STATE = "state"
    PROCESS = "process"
    CGROUP = "cgroup"
    LAYER = "layer"  # what a container wrote to its overlay


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is left; ``path`` is a directory, or /proc/PID of a process."""

    kind: LeakKind
    path: str
    detail: str


def find_leaks(context: Context) -> tuple[Leak, ...]:
    """Return what no living nestbox owns: of dead containers, and what no state names.

    Raises:
        EnvironmentUnreadable: it cannot be seen where cgroups of containers would be.
    """
    leaks: list[Leak] = []
    for claim, _ in abandoned(context.root):
        try:
            leaks += _of_container(claim)
        finally:
            claim.let_go()
    known = _names_in(context.root)
    leaks += _unnamed(f"{context.storage}/{LAYERS}", "", known, LeakKind.LAYER)
    seen = observe(frozenset({Subject.CGROUP}), state_directory=context.storage)
    for hierarchy in seen.cgroup.hierarchies if seen.cgroup else ():
        if hierarchy.directory is not None:
            leaks += _unnamed(hierarchy.directory, PREFIX, known, LeakKind.CGROUP)
    return tuple(leaks)


def _of_container(claim: Claim) -> Iterator[Leak]:
    yield Leak(
        kind=LeakKind.STATE,
        path=claim.directory,
        detail="the nestbox that made it is dead; the next nestbox run removes it",
    )
    process = read_process(claim.root, claim.container)
    if process is not None and start_time(process.pid) == process.start:
        yield Leak(
            kind=LeakKind.PROCESS,
            path=f"/proc/{process.pid}",
            detail=f"first process of the container {claim.container}",
        )


def _unnamed(directory: str, prefix: str, known: set[str], kind: LeakKind) -> Iterator[Leak]:
    """Yield what bears the name of a container of which there is no state."""
    for name in sorted(_names_in(directory)):
        if not name.startswith(prefix) or name.removeprefix(prefix) in known:
            continue
        # A cgroup with processes belongs to a container of another state directory.
        if kind is not LeakKind.CGROUP or not _has_processes(f"{directory}/{name}"):
            yield Leak(
                kind=kind, path=f"{directory}/{name}", detail="no state names it: remove it by hand"
            )


def _has_processes(cgroup: str) -> bool:
    try:
        return read_file(f"{cgroup}/cgroup.procs") != b""
    except OSError:
        return False


def _names_in(directory: str) -> set[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return set(os.listdir(directory))
    return set()
