"""Moving bytes between the container and its caller while it runs, and waiting for its end.

A terminal of the caller is never handed to a container, which could push input into it
(TIOCSTI, CVE-2017-5226): pipes stand in for it, and a pty of the container's own with -t.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable

_CHUNK = 65536
_GONE = frozenset({errno.EIO, errno.EBADF, errno.EPIPE, errno.ECONNRESET})


class _Feed:
    """What the container is to read: bytes that wait, and where more come from."""

    def __init__(self, source: int | None, target: int, data: bytes) -> None:
        self.source = source
        self.target = target
        self.waiting = memoryview(data)


class Pump:
    """Copies in both directions until the container is dead and all that it wrote was copied."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._poll = select.poll()
        self._poll.register(pidfd, select.POLLIN)
        self._sinks: dict[int, Callable[[bytes], None]] = {}
        self._feeds: list[_Feed] = []
        self._ends: dict[int, Callable[[], None]] = {}

    def output(self, source: int, sink: Callable[[bytes], None]) -> None:
        """Copy what comes from a descriptor, to its end."""
        self._sinks[source] = sink
        self._poll.register(source, select.POLLIN)

    def at_end(self, fd: int, act: Callable[[], None]) -> None:
        """Act once when a descriptor of a process says that the process has ended."""
        self._ends[fd] = act
        self._poll.register(fd, select.POLLIN)

    def feed(self, target: int, *, source: int | None = None, data: bytes = b"") -> None:
        """Write data, then what comes from a source, and close the target after its end.

        The target is this object's from now on, and no source of an output. Writing never blocks
        on a container that does not read, since that may be waiting for us to read.
        """
        os.set_blocking(target, False)
        self._feeds.append(_Feed(source, target, data))

    def run(
        self,
        seconds_left: Callable[[], float | None],
        *,
        after: tuple[float, Callable[[], None]],
    ) -> bool:
        """Copy until the container is dead; return False when the time was up before that.

        ``after`` are seconds and what to do once when the container still lives after them.
        """
        pause, act = after
        act_at: float | None = time.monotonic() + pause
        while True:
            left = seconds_left()
            if left is not None and left <= 0:
                return False
            if act_at is not None:
                until = act_at - time.monotonic()
                if until <= 0:
                    act()
                    act_at = None
                else:
                    left = until if left is None else min(left, until)
            watched = self._watch_feeds()
            ready = self._poll.poll(None if left is None else left * 1000)
            for fd in watched:
                self._poll.unregister(fd)
            for fd, _ in ready:
                self._serve(fd)
            if any(fd == self._pidfd for fd, _ in ready):
                self._drain()
                return True

    def close(self) -> None:
        """Close what is fed still; sources and sinks belong to the caller."""
        for feed in self._feeds:
            os.close(feed.target)
        self._feeds.clear()

    def _watch_feeds(self) -> list[int]:
        """Watch for what each feed waits for now; return the descriptors."""
        watched = []
        for feed in list(self._feeds):
            if feed.waiting:
                self._poll.register(feed.target, select.POLLOUT)
                watched.append(feed.target)
            elif feed.source is not None:
                self._poll.register(feed.source, select.POLLIN)
                watched.append(feed.source)
            else:
                self._end(feed)
        return watched

    def _serve(self, fd: int) -> None:
        if fd in self._ends:
            self._poll.unregister(fd)
            self._ends.pop(fd)()
        if fd in self._sinks:
            self._copy(fd)
        for feed in list(self._feeds):
            if feed.waiting and feed.target == fd:
                self._push(feed)
            elif not feed.waiting and feed.source == fd:
                data = _read(fd)
                if data == b"":
                    self._end(feed)
                elif data:
                    feed.waiting = memoryview(data)

    def _copy(self, fd: int) -> None:
        data = _read(fd)
        if data:
            self._sinks[fd](data)
        elif data == b"":
            del self._sinks[fd]
            self._poll.unregister(fd)

    def _push(self, feed: _Feed) -> None:
        try:
            feed.waiting = feed.waiting[os.write(feed.target, feed.waiting) :]
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._end(feed)

    def _end(self, feed: _Feed) -> None:
        self._feeds.remove(feed)
        os.close(feed.target)

    def _drain(self) -> None:
        """Copy what is in the pipes; a process that outlived the container may hold them open."""
        for fd, sink in self._sinks.items():
            while _is_readable(fd) and (data := _read(fd)):
                sink(data)


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _read(fd: int) -> bytes | None:
    """Return what there is: nothing at the end, None when there is nothing yet."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return b""


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, however many calls that takes. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
