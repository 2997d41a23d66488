"""Sending a signal to a container: to its first process, or to all of its processes."""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, StateError, UsageError, reason
from nestbox.kernel.signals import SIGKILL, open_process, send, signal_number
from nestbox.runtime.oci.container import Container
from nestbox.runtime.oci.store import Store
from nestbox.runtime.processes import is_alive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.processes import Process


def kill(root: str, container_id: str, signal: str, *, everyone: bool) -> None:
    """Send a signal, by name or number, to a container's first process.

    ``everyone`` sends it to all processes of the container; one that has none is then no error.
    Without a pid namespace of its own SIGKILL always goes to all: the others would live on.

    Raises:
        UsageError: there is no such signal.
        StateError: the container does not exist or does not run.
    """
    container = Store(root).load(container_id)
    number = signal_number(signal)
    if number is None:
        raise UsageError(
            f'unknown signal "{signal}"',
            cause="no signal has that name",
            remedy="use a name as TERM, or a number",
        )
    if everyone or (number == SIGKILL and "pid" not in container.state.namespaces):
        _send_to_all(container, number, may_be_gone=everyone)
    else:
        _send_to_first(container, number)


def _send_to_first(container: Container, number: int) -> None:
    process = container.process()
    if process is None:
        raise _not_running(container)
    try:
        pidfd = open_process(process.pid)
        try:
            # The pid can be another process's since it was looked at; the descriptor's cannot.
            if not is_alive(process):
                raise _not_running(container)
            send(pidfd, number)
        finally:
            os.close(pidfd)
    except ProcessLookupError as error:
        raise _not_running(container) from error
    except OSError as error:
        raise StateError(
            f'unable to signal init of the container "{container.id}"',
            cause=reason(error),
            remedy="act as the user who created it, and give a signal that the kernel knows",
        ) from error
    if number == SIGKILL and (container.is_paused() or container.has_inner_freezers()):
        _let_it_die(container, process)


def _let_it_die(container: Container, process: Process) -> None:
    """Thaw: what is frozen by cgroup v1, or has frozen itself, does not die before that."""
    from nestbox.runtime.cgroup.files import Kept
    from nestbox.runtime.cgroup.freezer import thaw, thaw_below

    location = Kept(container.state.cgroup)
    try:
        if container.is_paused():
            thaw(location)
        thaw_below(location)
    except LaunchError:
        # Whoever waited for its end can have removed the cgroups already.
        if is_alive(process):
            raise


def _send_to_all(container: Container, number: int, *, may_be_gone: bool) -> None:
    from nestbox.runtime.cgroup.files import Kept
    from nestbox.runtime.cgroup.processes import kill_all, processes

    location = Kept(container.state.cgroup)
    found = processes(location)
    first = container.process()
    if found:
        kill_all(location, number)
    # Without cgroups of its own the first process is all of the container that can be found.
    if first is not None and first.pid not in found:
        _send_to_first(container, number)
    if not found and first is None and not may_be_gone:
        raise _not_running(container)


def _not_running(container: Container) -> StateError:
    return StateError(
        f'cannot signal the container "{container.id}"',
        cause="container not running",
        remedy="start it first, or delete it",
    )
