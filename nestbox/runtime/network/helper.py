"""A program that connects a container from outside: started, waited for, ended.

It dies with this process, and ends by itself when the network namespace does where it can.
"""

from __future__ import annotations

import contextlib
import os
import select

from nestbox.errors import LaunchError, reason
from nestbox.kernel import constants, helpers
from nestbox.kernel.syscalls import memfd_create, pidfd_send_signal
from nestbox.outer.tools import DEFAULT_PATH
from nestbox.runtime.processes import Process, start_time

READY_SECONDS = 5.0
_END_SECONDS = 5.0
_SIGKILL = 9
_SIGTERM = 15
_SHOWN_BYTES = 4096
_ENVIRONMENT = (f"PATH={DEFAULT_PATH}", "LC_ALL=C")
# What both programs say of themselves while nothing is wrong.
_CHATTER = (
    *("WARNING:", "sent tapfd", "received tapfd", "Starting slirp", "* ", "seccomp:"),
    "Failed to send",
)


class Helper:
    """One program under way. ``end`` has to be called, whatever becomes of it."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        ready: int,
        kept: tuple[int, ...] = (),
        directory: int = -1,
    ) -> None:
        """Start the program.

        ``ready`` is where something can be read when the program is ready; it is the helper's
        from now on. ``kept`` are descriptors that the program gets, under their numbers here, and
        ``directory`` is one of the directory that it starts in, which it does not get.

        Raises:
            LaunchError: it cannot be started.
        """
        self.name = name
        self._ready = ready
        self._said = -1
        self._ended: os.waitid_result | None = None
        try:
            self._said = memfd_create("nestbox-helper", constants.MFD_CLOEXEC)
            self.pid, self._pidfd = helpers.start_helper(
                arguments,
                environment=_ENVIRONMENT,
                output=self._said,
                kept=kept,
                directory=directory,
            )
        except OSError as error:
            _close(ready, self._said)
            raise LaunchError(
                f"cannot start {name}", cause=reason(error), remedy="install it again"
            ) from error

    @property
    def process(self) -> Process | None:
        """The process, so that it can be found again; None when it is gone already."""
        start = start_time(self.pid)
        return None if start is None else Process(pid=self.pid, start=start)

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait until the program says that the network is there.

        Raises:
            LaunchError: it ended, or said nothing in time.
        """
        poll = select.poll()
        poll.register(self._ready, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        events = dict(poll.poll(seconds * 1000))
        if events.get(self._ready, 0) & select.POLLIN and os.read(self._ready, 64):
            return
        if not events:
            raise self._failed(f"it was not ready within {seconds:g} seconds")
        # What closed its end of the pipe is about to end, and has said why by then.
        self._ends_within(_END_SECONDS)
        raise self._failed(self._last_words() or "it ended at once")

    def _failed(self, cause: str) -> LaunchError:
        return LaunchError(
            f"cannot connect the container's network with {self.name}",
            cause=cause,
            remedy="use another --network, or run `nestbox doctor`",
        )

    def _last_words(self) -> str:
        """Return the last lines that the program said and that are not its usual chatter."""
        size = os.fstat(self._said).st_size
        text = os.pread(self._said, _SHOWN_BYTES, max(0, size - _SHOWN_BYTES))
        lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
        told = [line for line in lines if line and not line.startswith(_CHATTER)]
        return "; ".join(told[-2:])

    def has_failed(self) -> bool:
        """Return whether the program ended otherwise than on its own, at the container's end."""
        self._ends_within(0)
        return self._ended is not None and self._ended.si_status != 0

    def _ends_within(self, seconds: float) -> bool:
        """Return whether the program ends in time, and reap it then."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        with contextlib.suppress(ChildProcessError):  # reaped by us, or another part of the program
            self._ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        return True

    def end(self) -> None:
        """End the program and wait for it."""
        for signal in (_SIGTERM, _SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                pidfd_send_signal(self._pidfd, signal)
            if self._ends_within(_END_SECONDS):
                break
        _close(self._pidfd, self._ready, self._said)


def _close(*descriptors: int) -> None:
    for fd in descriptors:
        if fd >= 0:
            os.close(fd)
