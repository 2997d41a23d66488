"""Handing the signals of a foreground program on to its container. For a main thread only."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from nestbox.kernel.syscalls import pidfd_send_signal
from nestbox.runtime.launch import Launched
from nestbox.runtime.streams import Pump

if TYPE_CHECKING:
    from types import FrameType

# Kept: what stops, continues or ends us, what reports our own children, and broken pipes.
_OWN = (
    "SIGKILL",
    "SIGSTOP",
    "SIGCHLD",
    "SIGPIPE",
    "SIGTTIN",
    "SIGTTOU",
    "SIGCONT",
    "SIGTSTP",
    "SIGSEGV",
    "SIGBUS",
    "SIGFPE",
    "SIGILL",
    "SIGABRT",
    "SIGTRAP",
    "SIGSYS",
    "SIGURG",
)
_SIGKILL = 9
_PATIENCE = 3  # the container is killed at the third request to end, as by docker


class Forwarding:
    """Signals arrive on a pipe, which is served together with the streams."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._saved: dict[int, Any] = {}
        self._keep_children()
        self._saved_wakeup = -1
        self._ends_asked = 0

    def _keep_children(self) -> None:
        """Undo an ignored SIGCHLD, with which the kernel throws exit statuses away.

        It is inherited from whoever started this program, and is set right before the launch: the
        module signal comes too late, as loading it takes longer than a short container lives.
        """
        import _signal  # type: ignore[import-not-found,unused-ignore]

        if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
            self._saved[_signal.SIGCHLD] = _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)

    def begin(self) -> None:
        """Take the signals over."""
        import signal

        def ignore(number: int, frame: FrameType | None) -> None:
            """Be there, so that the number is written to the pipe."""

        own = {getattr(signal, name) for name in _OWN}
        self._saved_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in signal.valid_signals() - own:
            if signal.getsignal(number) is not None:
                self._saved[number] = signal.signal(number, ignore)

    def connect(self, pump: Pump, launched: Launched, terminal: int) -> None:
        """Serve the signals that came and those that will, until the container has ended."""
        import signal

        def serve(numbers: bytes) -> None:
            for number in numbers:
                if number == signal.SIGWINCH:
                    _resize(terminal, launched)
                    continue
                sent = number
                if number in {signal.SIGINT, signal.SIGTERM}:
                    self._ends_asked += 1
                    if self._ends_asked >= _PATIENCE:
                        sent = _SIGKILL
                with contextlib.suppress(ProcessLookupError):
                    pidfd_send_signal(launched.pidfd, sent)

        pump.output(self._read, serve)

    def end(self) -> None:
        """Give the signals back and close the pipe."""
        if self._saved:
            import signal

            for number, handler in self._saved.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._saved_wakeup)
        os.close(self._read)
        os.close(self._write)


def _resize(terminal: int, launched: Launched) -> None:
    if launched.master is not None:
        from nestbox.runtime.terminal import copy_size

        with contextlib.suppress(OSError):
            copy_size(terminal, launched.master)
