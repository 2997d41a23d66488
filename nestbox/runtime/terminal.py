"""The caller's terminal while a container has one of its own: raw mode, size, and back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios
from types import TracebackType
from typing import Any

from nestbox.runtime.context import Context
from nestbox.runtime.streams import Pump, write_all

_SIZE = struct.Struct("HHHH")  # struct winsize; rows, columns, two unused
# The fields of what tcgetattr returns.
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


def keep_newlines(master: int, output: int = 1) -> None:
    """Let a newline that a program writes to a pty stay as it is when it goes to no terminal.

    What reads a file or a pipe expects lines, as it gets them from runc.
    """
    if os.isatty(output):
        return
    settings = termios.tcgetattr(master)
    settings[_OFLAG] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, settings)


class RawTerminal:
    """A terminal in raw mode inside a ``with``; every key reaches the container, Ctrl-C too."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[Any] = []

    def __enter__(self) -> RawTerminal:
        """Enter raw mode, as cfmakeraw(3)."""
        self._saved = termios.tcgetattr(self._fd)
        raw = termios.tcgetattr(self._fd)
        raw[_IFLAG] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        raw[_OFLAG] &= ~termios.OPOST
        raw[_LFLAG] &= ~(
            termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
        )
        raw[_CFLAG] = raw[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[_CC][termios.VMIN] = 1
        raw[_CC][termios.VTIME] = 0
        termios.tcsetattr(self._fd, termios.TCSANOW, raw)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)


def copy_size(source: int, target: int) -> None:
    """Give a terminal the size of another one. Raises OSError."""
    size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(_SIZE.size))
    fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def take_size(source: int, master: int) -> None:
    """Give the container's terminal the size of the caller's, if that is one."""
    if os.isatty(source):
        copy_size(source, master)


def attach(master: int, context: Context, pump: Pump, scope: contextlib.ExitStack) -> None:
    """Connect the caller's terminal with the container's until the scope ends. Raises OSError."""
    pump.output(master, lambda data: write_all(context.stdout, data))
    if not os.isatty(context.stdin):
        return
    scope.enter_context(RawTerminal(context.stdin))
    # Of its own, because it is closed when the caller's side ends.
    pump.feed(os.dup(master), source=context.stdin)
