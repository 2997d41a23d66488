"""The container's standard streams: which descriptors it gets, and what is copied to and from them.

Sources and sinks are decided before the launch, connected after it, and closed at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from nestbox.runtime.context import Context
from nestbox.runtime.streams import Pump, write_all


class Stdio:
    """Pipes, /dev/null or the caller's own descriptors for one container.

    ``captured`` are the bytes that it wrote to standard output and error when that was asked for.
    """

    def __init__(self) -> None:
        self.child: tuple[int, int, int] = (0, 1, 2)
        self.captured = (bytearray(), bytearray())
        self._child_ends: list[int] = []
        self._own_ends: list[int] = []
        self._connect: list[Callable[[Pump], None]] = []

    def connect(self, pump: Pump) -> None:
        """Hand the caller's sides to a pump and close the container's, which has them now."""
        self._close(self._child_ends)
        for connect in self._connect:
            connect(pump)

    def close(self) -> None:
        """Close every descriptor that was opened here."""
        self._close(self._child_ends)
        self._close(self._own_ends)

    @staticmethod
    def _close(descriptors: list[int]) -> None:
        while descriptors:
            os.close(descriptors.pop())

    def null(self, mode: int) -> int:
        """Return the null device for the container."""
        try:
            fd = os.open("/dev/null", mode | os.O_CLOEXEC)
        except OSError:
            fd = _nothing()
        self._child_ends.append(fd)
        return fd

    def output(self, sink: Callable[[bytes], None]) -> int:
        """Return the container's end of a pipe that is copied to a sink."""
        read, write = os.pipe()
        self._own_ends.append(read)
        self._child_ends.append(write)
        self._connect.append(lambda pump: pump.output(read, sink))
        return write

    def input(self, source: int | None, data: bytes) -> int:
        """Return the container's end of a pipe that data and then a source are copied to."""
        read, write = os.pipe()
        self._child_ends.append(read)
        self._own_ends.append(write)

        def connect(pump: Pump) -> None:
            self._own_ends.remove(write)
            pump.feed(write, source=source, data=data)

        self._connect.append(connect)
        return read


def _nothing() -> int:
    """Return a file without a name that is empty and stays so: the null device of an empty /dev."""
    import fcntl

    fd = os.memfd_create("nothing", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def passed_through(context: Context, *, interactive: bool) -> Stdio:
    """Return the caller's own streams, with a pipe in place of each terminal.

    Standard input is empty unless ``interactive``. Terminals that are the same one share a pipe,
    so that the order of lines is kept.
    """
    stdio = Stdio()
    stdin = context.stdin
    if not interactive:
        stdin = stdio.null(os.O_RDONLY)
    elif os.isatty(stdin):
        stdin = stdio.input(stdin, b"")
    pipes: dict[tuple[int, int], int] = {}

    def guarded(fd: int) -> int:
        if not os.isatty(fd):
            return fd
        info = os.fstat(fd)
        key = (info.st_dev, info.st_rdev)
        if key not in pipes:
            pipes[key] = stdio.output(lambda data: write_all(fd, data))
        return pipes[key]

    stdio.child = (stdin, guarded(context.stdout), guarded(context.stderr))
    return stdio


def captured(data: bytes | None) -> Stdio:
    """Return streams that keep what the container writes; it reads ``data`` or nothing."""
    stdio = Stdio()
    out, err = stdio.captured
    stdin = stdio.null(os.O_RDONLY) if data is None else stdio.input(None, data)
    stdio.child = (stdin, stdio.output(out.extend), stdio.output(err.extend))
    return stdio


def behind_terminal() -> Stdio:
    """Return streams that only last until the container's own terminal takes their place."""
    stdio = Stdio()
    null = stdio.null(os.O_RDWR)
    stdio.child = (null, null, null)
    return stdio
