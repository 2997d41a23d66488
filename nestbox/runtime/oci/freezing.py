"""Pausing a container and letting it go on, by the freezer of its cgroup."""

from __future__ import annotations

from nestbox.errors import StateError
from nestbox.runtime.cgroup.files import Kept
from nestbox.runtime.cgroup.freezer import freeze, thaw
from nestbox.runtime.oci.container import CREATED, PAUSED, RUNNING, Container
from nestbox.runtime.oci.store import Store


def pause(root: str, container_id: str) -> None:
    """Stop all processes of a container until it is resumed.

    Raises:
        StateError: it does not exist, or neither runs nor is created.
        LaunchError: its cgroup cannot be frozen.
    """
    store = Store(root)
    held = store.hold(container_id)
    try:
        container = store.load(container_id)
        status = container.status()
        if status not in {CREATED, RUNNING}:
            raise _refused("pause", container, f"container not running or created: {status}")
        freeze(Kept(container.state.cgroup))
    finally:
        held.let_go()


def resume(root: str, container_id: str) -> None:
    """Let a paused container go on.

    Raises:
        StateError: it does not exist, or is not paused.
        LaunchError: its cgroup cannot be thawed.
    """
    store = Store(root)
    held = store.hold(container_id)
    try:
        container = store.load(container_id)
        status = container.status()
        # A container that was paused before its start is created and frozen at once.
        if status != PAUSED and not container.is_paused():
            raise _refused("resume", container, "container not paused")
        thaw(Kept(container.state.cgroup))
    finally:
        held.let_go()


def _refused(what: str, container: Container, cause: str) -> StateError:
    return StateError(
        f'cannot {what} the container "{container.id}"',
        cause=cause,
        remedy="look at its status with the command state",
    )
