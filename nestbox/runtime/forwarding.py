"""Handing the signals of a foreground program on to its container. For a main thread only."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from nestbox.kernel.syscalls import pidfd_send_signal

if TYPE_CHECKING:
    from types import FrameType

    from nestbox.runtime.launch import Launched
    from nestbox.runtime.streams import Pump

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
    """Signals arrive on a pipe, which is served together with the streams.

    From the start they are held back, so that none is lost or ends us between the launch and
    ``begin``: a container can be up before we are ready to hear of it. With ``patience`` the
    container is killed at that request to end.
    """

    def __init__(self, patience: int | None = _PATIENCE) -> None:
        # The module signal comes too late, as loading it takes longer than a short container lives.
        import _signal  # type: ignore[import-not-found,unused-ignore]

        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._saved: dict[int, Any] = {}
        self._saved_wakeup: int | None = None
        self._mask: set[int] | None = _signal.pthread_sigmask(
            _signal.SIG_BLOCK, _signal.valid_signals()
        )
        # An ignored SIGCHLD is inherited from whoever started this program, and makes the kernel
        # throw exit statuses away.
        if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
            self._saved[_signal.SIGCHLD] = _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        self._ends_asked = 0
        self._patience = patience

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
        self._let_through()

    def _let_through(self) -> None:
        """Let the signals through that were held back; they arrive now."""
        import _signal

        if self._mask is not None:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._mask)
            self._mask = None

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
                    if self._patience is not None and self._ends_asked >= self._patience:
                        sent = _SIGKILL
                with contextlib.suppress(ProcessLookupError):
                    pidfd_send_signal(launched.pidfd, sent)

        pump.output(self._read, serve)

    def end(self) -> None:
        """Give the signals back and close the pipe."""
        import signal

        for number, handler in self._saved.items():
            signal.signal(number, handler)
        if self._saved_wakeup is not None:
            signal.set_wakeup_fd(self._saved_wakeup)
        self._let_through()
        os.close(self._read)
        os.close(self._write)


def _resize(terminal: int, launched: Launched) -> None:
    if launched.master is not None:
        from nestbox.runtime.terminal import copy_size

        with contextlib.suppress(OSError):
            copy_size(terminal, launched.master)
