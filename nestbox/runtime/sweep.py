"""Removing what a container leaves when nestbox could not: after a kill -9 or a full disk."""

from __future__ import annotations

import contextlib
import os

from nestbox.kernel.syscalls import pidfd_open, pidfd_send_signal
from nestbox.runtime.cgroup.removal import remove_directory
from nestbox.runtime.processes import Process, boot_id, pid_namespace, start_time
from nestbox.runtime.removal import remove_tree
from nestbox.runtime.state import (
    Claim,
    ContainerState,
    abandoned,
    read_helper,
    read_process,
)

_SIGKILL = 9


def sweep(root: str) -> tuple[str, ...]:
    """Remove what no living nestbox owns; return the ids of the containers that were removed."""
    removed = []
    for claim, state in abandoned(root):
        try:
            remove_remains(claim, state)
        except OSError:
            # It is busy or not ours to touch: its state stays for the next sweep, and for
            # `nestbox doctor --leaks`. It must not stop the launch of somebody else.
            claim.let_go()
        else:
            removed.append(claim.container)
    return tuple(removed)


def remove_remains(claim: Claim, state: ContainerState | None) -> None:
    """End what runs of a container and remove all that its state names, the state last.

    Without a state that can be read there is nothing that was made after it: the state names each
    thing before it exists.
    """
    if state is not None:
        if state.boot_id == boot_id():
            if state.pid_namespace == pid_namespace():
                _kill(read_process(claim.root, claim.container))
                _kill(read_helper(claim.root, claim.container))
            for directory in state.cgroups:
                # One that is busy still is found again: the state stays until it is gone.
                remove_directory(directory)
            if state.table:
                from nestbox.runtime.network.nft import remove_table

                remove_table(state.table)
        if state.upper is not None:
            remove_tree(state.upper)
    claim.release()


def _kill(process: Process | None) -> None:
    """Kill the first process, and with it its pid namespace, unless the pid is another's now."""
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        pidfd = pidfd_open(process.pid, 0)
        try:
            if start_time(process.pid) == process.start:
                pidfd_send_signal(pidfd, _SIGKILL)
                _wait_for_end(pidfd)
        finally:
            os.close(pidfd)


def _wait_for_end(pidfd: int) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll(5000)
