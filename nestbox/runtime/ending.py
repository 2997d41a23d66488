"""Ending containers, whoever made them: a signal, a stop with time to end, removal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time

from nestbox.errors import StateError, UsageError, reason
from nestbox.kernel.signals import SIGKILL, open_process, send, signal_number
from nestbox.runtime.containers import Origin, Seen, look_at
from nestbox.runtime.directories import LOCK
from nestbox.runtime.oci.container import STOPPED
from nestbox.runtime.oci.delete import delete
from nestbox.runtime.oci.kill import kill
from nestbox.runtime.oci.requests import Log
from nestbox.runtime.processes import Process, is_alive, start_time
from nestbox.runtime.state import Claim, read_process, read_state
from nestbox.runtime.sweep import remove_remains

_END_SECONDS = 10.0  # for what was killed


def signal_container(seen: Seen, signal: str) -> None:
    """Send a signal, by name or number, to the first process of a container.

    Raises:
        UsageError: there is no such signal.
        StateError: the container does not run.
    """
    if seen.origin is Origin.ENGINE:
        kill(seen.root, seen.id, signal, everyone=False)
        return
    number = signal_number(signal)
    if number is None:
        raise UsageError(
            f'unknown signal "{signal}"',
            cause="no signal has that name",
            remedy="use a name as TERM, or a number",
        )
    process = read_process(seen.root, seen.id)
    if process is None or not _send(process, number):
        raise StateError(
            f'cannot signal the container "{seen.id}"',
            cause="container not running",
            remedy="see `nestbox ps`",
        )


def _send(process: Process, number: int) -> bool:
    """Return whether the process was there to get a signal. Raises StateError."""
    try:
        pidfd = open_process(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        send(pidfd, number)
    except OSError as error:
        raise StateError(
            f"cannot signal the process {process.pid}",
            cause=reason(error),
            remedy="act as the user who started the container",
        ) from error
    finally:
        os.close(pidfd)
    return True


def stop_container(seen: Seen, *, signal: str, seconds: float) -> None:
    """Send a signal, give the container time to end, and kill it when that is over.

    One that does not run is stopped already.

    Raises:
        UsageError: there is no such signal.
        StateError: it cannot be signalled, or does not end even then.
    """
    if seen.pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        pidfd = open_process(seen.pid)
        try:
            if _is_over(seen):
                return
            signal_container(seen, signal)
            if not _ends(pidfd, seconds):
                signal_container(seen, str(SIGKILL))
                if not _ends(pidfd, _END_SECONDS):
                    raise StateError(
                        f'cannot stop the container "{seen.id}"',
                        cause="it lives on after SIGKILL: the kernel waits for something",
                        remedy="look at /proc/PID/stack of its first process",
                    )
        except StateError:
            if not _is_over(seen):
                raise
        finally:
            os.close(pidfd)


def _is_over(seen: Seen) -> bool:
    """Whether the container is not what it was: stopped, gone, or another one of its name."""
    try:
        now = look_at(seen.root, seen.id)
    except StateError:
        return True
    return now.status == STOPPED or now.pid != seen.pid


def _ends(pidfd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def remove_container(seen: Seen, *, force: bool, log: Log) -> None:
    """Remove a container; one that runs only with ``force``.

    Raises:
        StateError: it runs, or its state cannot be removed.
        LaunchError: something of it cannot be removed.
    """
    if seen.origin is Origin.ENGINE:
        delete(seen.root, seen.id, force=force, log=log)
        return
    if seen.status != STOPPED and not force:
        raise StateError(
            f'cannot remove the container "{seen.id}"',
            cause=f"it is not stopped: {seen.status}",
            remedy="stop it first, or use --force",
        )
    process = read_process(seen.root, seen.id)
    if process is not None and start_time(process.pid) == process.start:
        _send(process, SIGKILL)
    _remove_remains(seen)


def _remove_remains(seen: Seen) -> None:
    """Wait until the `nestbox run` that attends it has removed it; do that when it is gone."""
    path = os.path.join(seen.root, seen.id, LOCK)
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    deadline = time.monotonic() + _END_SECONDS
    while not _take(lock):
        if time.monotonic() > deadline:
            os.close(lock)
            raise StateError(
                f'cannot remove the container "{seen.id}"',
                cause="the nestbox run that attends it does not end",
                remedy="end that process",
            )
        time.sleep(0.01)
    if os.fstat(lock).st_nlink == 0:
        os.close(lock)
        return
    remove_remains(Claim(seen.root, seen.id, lock), read_state(seen.root, seen.id))


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
