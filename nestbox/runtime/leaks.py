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
from nestbox.runtime.processes import is_alive
from nestbox.runtime.state import Claim, abandoned, read_helper, read_process


class LeakKind(StrEnum):
    """What is left."""

    STATE = "state"
    PROCESS = "process"
    CGROUP = "cgroup"
    LAYER = "layer"  # what a container wrote to its overlay
    TABLE = "table"  # of nftables


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is left; ``path`` is a directory, /proc/PID, or the name of a table."""

    kind: LeakKind
    path: str
    detail: str


def find_leaks(context: Context) -> tuple[Leak, ...]:
    """Return what no living nestbox owns: of dead containers, and what no state names.

    Raises:
        EnvironmentUnreadable: it cannot be seen where cgroups of containers would be.
    """
    leaks: list[Leak] = []
    tables: set[str] = set()
    for claim, state in abandoned(context.root):
        try:
            leaks += _of_container(claim)
            tables |= {state.table} if state is not None else set()
        finally:
            claim.let_go()
    known = _names_in(context.root)
    leaks += _unnamed(f"{context.storage}/{LAYERS}", "", known, LeakKind.LAYER)
    seen = observe(frozenset({Subject.CGROUP}), state_directory=context.storage)
    for hierarchy in seen.cgroup.hierarchies if seen.cgroup else ():
        if hierarchy.directory is not None:
            # Beside our own, where it has processes, is a place of containers too.
            for place in (hierarchy.directory, *(above.directory for above in hierarchy.above)):
                leaks += _unnamed(place, PREFIX, known, LeakKind.CGROUP)
    return (*leaks, *_tables(tables))


def _tables(named: set[str]) -> Iterator[Leak]:
    """Yield the tables of nftables that belong to no container, for who may see them."""
    from nestbox.runtime.network.nft import orphans

    for table in orphans():
        by = (
            "the next nestbox run removes it"
            if table in named
            else f"nft delete table inet {table}"
        )
        yield Leak(kind=LeakKind.TABLE, path=table, detail=f"the container it is for is gone; {by}")


def _of_container(claim: Claim) -> Iterator[Leak]:
    yield Leak(
        kind=LeakKind.STATE,
        path=claim.directory,
        detail="the nestbox that made it is dead; the next nestbox run removes it",
    )
    what = {
        f"first process of the container {claim.container}": read_process,
        f"what connects the network of the container {claim.container}": read_helper,
    }
    for detail, read in what.items():
        process = read(claim.root, claim.container)
        if process is not None and is_alive(process):
            yield Leak(kind=LeakKind.PROCESS, path=f"/proc/{process.pid}", detail=detail)


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
