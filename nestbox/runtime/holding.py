"""Pausing containers, whoever made them."""

from __future__ import annotations

from nestbox.errors import StateError
from nestbox.runtime.cgroup.freezer import freeze, thaw
from nestbox.runtime.containers import Origin, Seen, run_location, run_state
from nestbox.runtime.oci.container import PAUSED, RUNNING
from nestbox.runtime.oci.freezing import pause, resume


def pause_container(seen: Seen) -> None:
    """Stop all processes of a container until it is resumed.

    Raises:
        StateError: it does not run.
        LaunchError: it has no cgroup that can be frozen.
    """
    if seen.origin is Origin.ENGINE:
        pause(seen.root, seen.id)
        return
    _check(seen, RUNNING, "pause")
    freeze(run_location(run_state(seen.root, seen.id)))


def resume_container(seen: Seen) -> None:
    """Let a paused container go on.

    Raises:
        StateError: it is not paused.
        LaunchError: it cannot be thawed.
    """
    if seen.origin is Origin.ENGINE:
        resume(seen.root, seen.id)
        return
    _check(seen, PAUSED, "resume")
    thaw(run_location(run_state(seen.root, seen.id)))


def _check(seen: Seen, wanted: str, what: str) -> None:
    if seen.status != wanted:
        raise StateError(
            f'cannot {what} the container "{seen.id}"',
            cause=f"container not {wanted}: it is {seen.status}",
            remedy="see `nestbox ps --all`",
        )
