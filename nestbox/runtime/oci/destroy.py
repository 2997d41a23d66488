"""The end of a container: what it left is ended and removed, its state last.

Everything is named in the state before it exists, so this is also what cleans up after a command
that was killed in the middle. Loads no msgspec: engines delete every container that they create.
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, NestboxError, reason
from nestbox.runtime.cgroup.files import Kept
from nestbox.runtime.oci.container import RECORD, STOPPED, Container, Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.runtime.oci.requests import Log
    from nestbox.runtime.processes import Process

_SIGKILL = 9
_END_MILLISECONDS = 10_000
_INSIST_MILLISECONDS = 100


def location_of(container: Container) -> Kept:
    """Return where the container's cgroups are."""
    return Kept(container.state.cgroup)


def destroy(container: Container, held: Held, log: Log) -> None:
    """End all processes of a container and remove everything that its state names.

    Raises:
        NestboxError: something is left; the state stays, so that it can be tried again.
    """
    end_processes(container)
    remove_effects(container)
    _after_stop(container, log)
    _keep_record(container)
    try:
        held.remove()
    except OSError as error:
        raise LaunchError(
            f"cannot remove {container.directory!r}",
            cause=reason(error),
            remedy="remove what is in it and delete the container again",
        ) from error


def end_processes(container: Container) -> None:
    """Kill the first process and what is in the cgroup without one, and wait for their end."""
    process = container.process()
    if process is not None and container.is_paused():
        _kill_all(container)  # what is frozen does not die of a signal alone
    if process is not None:
        kill_process(process, insist=lambda: _kill_all(container))
    if "pid" not in container.state.namespaces or process is None:
        _kill_all(container)  # with a pid namespace of its own the kernel has killed the rest


def _kill_all(container: Container) -> None:
    from nestbox.runtime.cgroup.processes import kill_all

    kill_all(location_of(container), _SIGKILL)


def kill_process(process: Process, *, insist: Callable[[], None] | None = None) -> None:
    """Kill one process and wait until it is dead. Raises LaunchError when it does not die.

    ``insist`` is called again and again when it does not die at once: it may be frozen, or freeze
    itself again.
    """
    import _signal  # type: ignore[import-not-found,unused-ignore]

    from nestbox.runtime.processes import is_alive

    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(process):
            return
        _signal.pidfd_send_signal(pidfd, _SIGKILL)
        _wait_for_end(pidfd, process, insist)
    except ProcessLookupError:
        return
    finally:
        os.close(pidfd)


def _wait_for_end(pidfd: int, process: Process, insist: Callable[[], None] | None) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    for _ in range(_END_MILLISECONDS // _INSIST_MILLISECONDS):
        if poll.poll(_INSIST_MILLISECONDS):
            return
        if insist is not None:
            insist()
    raise LaunchError(
        f"cannot end the process {process.pid}",
        cause="it was sent SIGKILL and is still there after ten seconds",
        remedy="see what it waits for in /proc/PID/stack, and delete the container again",
    )


def remove_effects(container: Container) -> None:
    """Remove what is named in the state beside the processes and the directory."""
    from nestbox.runtime.cgroup.removal import remove

    remove(location_of(container))
    if container.state.root_mount:
        from nestbox.runtime.oci.root_bind import unbind

        unbind(container.state.rootfs, container.state.root_mount)
    if container.state.resctrl:
        from nestbox.runtime.oci.resctrl import remove as remove_group

        remove_group(container.state.resctrl)
    if os.path.lexists(container.path("criu-root")):
        os.rmdir(container.path("criu-root"))  # a mount point of a restore that was killed
    if os.path.lexists(container.path("notify")):
        from nestbox.runtime.oci.notify import remove_directory

        remove_directory(container.directory)


def _after_stop(container: Container, log: Log) -> None:
    """Run the poststop hooks; one that fails is told and stops nothing (runtime-spec)."""
    if not container.state.has_poststop:
        return
    from nestbox.runtime.oci.hook_points import after_stop

    try:
        after_stop(container, STOPPED, log)
    except NestboxError as error:
        log.warning(str(error))


def _keep_record(container: Container) -> None:
    """Move the record to those of finished containers, where `nestbox explain` finds it."""
    from nestbox.runtime.finished import move_here
    from nestbox.runtime.roots import default_root

    root = default_root(os.environ, os.geteuid())
    move_here(container.path(RECORD), root, container.id)
