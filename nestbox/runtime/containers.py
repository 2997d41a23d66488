"""All containers that nestbox made here, found by id or by the beginning of one.

Those of engines are below each of their roots, those of `nestbox run` below the default one.
"""

from __future__ import annotations

import contextlib
import os
from enum import StrEnum
from typing import TypeVar

import msgspec

from nestbox.errors import NestboxError, StateError, UsageError
from nestbox.runtime.cgroup.files import Kept
from nestbox.runtime.oci.container import CREATING, PAUSED, RUNNING, STATE, STOPPED, Container
from nestbox.runtime.oci.store import Store
from nestbox.runtime.processes import Process, boot_id, is_alive, pid_namespace
from nestbox.runtime.roots import known_roots
from nestbox.runtime.state import ContainerState, read_process, read_state

_MAXIMUM_BYTES = 64 << 20
_FEW = 5  # names in an error
Document = TypeVar("Document")


class Origin(StrEnum):
    """Who made a container."""

    ENGINE = "engine"  # through nestbox-runtime
    RUN = "run"  # nestbox run, which attends it


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One container as it was when it was looked at.

    ``status`` is that of runtime-spec, or "paused"; ``pid`` the first process, None without one;
    ``bundle`` is empty for one that has none.
    """

    id: str
    root: str
    origin: Origin
    status: str
    pid: int | None
    created: str  # RFC 3339, UTC
    command: tuple[str, ...] = ()
    bundle: str = ""


class _Process(msgspec.Struct):
    args: list[str] = []


class _Config(msgspec.Struct):
    """The part of a config.json that a list shows."""

    process: _Process | None = None


class _Request(msgspec.Struct):
    argv: list[str] = []


class _Record(msgspec.Struct):
    """The part of a record that a list shows."""

    request: _Request | None = None


def list_containers(default: str) -> tuple[Seen, ...]:
    """Return all containers below the default root and those that engines use, oldest first.

    What cannot be read is left out; `nestbox doctor --leaks` finds it.
    """
    found = []
    for root in known_roots(default):
        with contextlib.suppress(StateError):
            for name in Store(root).names():
                with contextlib.suppress(NestboxError):
                    found.append(look_at(root, name))
    return tuple(sorted(found, key=lambda one: (one.created, one.id)))


def find_container(default: str, name: str) -> Seen:
    """Return the container of an id, or the only one whose id begins like this.

    Raises:
        StateError: there is none.
        UsageError: there are several.
    """
    known = list_containers(default)
    matching = [one for one in known if one.id == name] or [
        one for one in known if name and one.id.startswith(name)
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f'several containers are meant by "{name}"',
            cause=", ".join(f"{one.id} in {one.root}" for one in matching[:_FEW]),
            remedy="write more of the id, or name its directory with --root",
        )
    from difflib import get_close_matches

    close = get_close_matches(name, [one.id for one in known], n=3)
    raise StateError(
        f'cannot find the container "{name}"',
        cause="container does not exist",
        remedy=f"did you mean {' or '.join(close)}?" if close else "see `nestbox ps --all`",
    )


def look_at(root: str, name: str) -> Seen:
    """Return one container of a root. Raises StateError."""
    if os.path.lexists(os.path.join(root, name, STATE)):
        return _of_engine(Store(root).load(name))
    return _of_run(root, name)


def _of_engine(container: Container) -> Seen:
    status = container.status()
    process = container.process()
    config = _read(container.path("config.json"), _Config)
    return Seen(
        id=container.id,
        root=container.root,
        origin=Origin.ENGINE,
        status=status,
        pid=process.pid if process is not None and status != STOPPED else None,
        created=container.state.created,
        command=tuple(config.process.args) if config and config.process else (),
        bundle=container.state.bundle,
    )


def _of_run(root: str, name: str) -> Seen:
    state = run_state(root, name)
    process = run_process(root, state)
    record = _read(os.path.join(root, name, "record.json"), _Record)
    return Seen(
        id=name,
        root=root,
        origin=Origin.RUN,
        status=_run_status(root, name, process, state),
        pid=process.pid if process is not None else None,
        created=state.created,
        command=tuple(record.request.argv) if record and record.request else (),
    )


def _run_status(root: str, name: str, process: Process | None, state: ContainerState) -> str:
    if process is None:
        started = os.path.lexists(os.path.join(root, name, "process"))
        return STOPPED if started else CREATING
    from nestbox.runtime.cgroup.freezer import is_frozen

    return PAUSED if is_frozen(run_location(state)) else RUNNING


def run_state(root: str, name: str) -> ContainerState:
    """Return the state of a container of `nestbox run`. Raises StateError."""
    state = read_state(root, name)
    if state is None:
        raise StateError(
            f'cannot find the container "{name}"',
            cause=f"container does not exist in {root}, or its state is damaged",
            remedy="see `nestbox doctor --leaks`",
        )
    return state


def run_process(root: str, state: ContainerState) -> Process | None:
    """Return the first process of a container of `nestbox run`, None when it is dead."""
    process = read_process(root, state.id)
    ours = state.boot_id == boot_id() and state.pid_namespace == pid_namespace()
    return process if process is not None and ours and is_alive(process) else None


def run_location(state: ContainerState) -> Kept:
    """Return where the cgroups of a container of `nestbox run` are, by their directories."""
    directories: dict[str, str] = {}
    unified = False
    for directory in state.cgroups:
        if os.path.exists(f"{directory}/cgroup.controllers"):
            directories[""] = directory
            unified = True
        else:
            for name in _controllers(directory):
                directories[name] = directory
    return Kept({"version": 2 if unified else 1, "directories": directories})


def _controllers(directory: str) -> list[str]:
    """Return the controllers of a directory of cgroup v1: their files begin with their names."""
    with contextlib.suppress(OSError):
        found = {name.partition(".")[0] for name in os.listdir(directory) if "." in name}
        return sorted(found - {"cgroup"})
    return []


def _read(path: str, kind: type[Document]) -> Document | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(_MAXIMUM_BYTES), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
