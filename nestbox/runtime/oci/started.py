"""An executor that was started, and what its process is given from its birth."""

from __future__ import annotations

import contextlib
import os

from nestbox.runtime.oci.talk import Talk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestbox.outer.facts import CapabilitySets

_SIGKILL = 9


class Started:
    """An executor, and what is known of it. ``master`` is -1 unless the caller keeps it."""

    def __init__(self, pid: int, pidfd: int, control: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.talk = Talk(control)
        self.master = -1
        self.born_in: frozenset[str] = frozenset()  # keys of version 1 cgroups
        self.sets: CapabilitySets | None = None

    def become(self, pid: int) -> None:
        """Go on with the process that the executor has forked; it is our child as well."""
        _reap(self.pidfd)
        os.close(self.pidfd)
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)

    def abandon(self) -> None:
        """Kill the executor and what is in its pid namespace, wait for it, close everything."""
        import _signal  # type: ignore[import-not-found,unused-ignore]

        with contextlib.suppress(ProcessLookupError):
            _signal.pidfd_send_signal(self.pidfd, _SIGKILL)
        _reap(self.pidfd)
        self.close()

    def close(self) -> None:
        """Close the descriptors."""
        self.talk.close()
        os.close(self.pidfd)
        if self.master >= 0:
            os.close(self.master)


def _reap(pidfd: int) -> None:
    with contextlib.suppress(ChildProcessError):  # reaped by another part of this program
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)


@contextlib.contextmanager
def standard_streams(terminal: bool) -> Iterator[tuple[int, int, int]]:
    """Give the streams of the container; before its terminal is there, it has /dev/null."""
    if not terminal:
        yield 0, 1, 2
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield null, null, null
    finally:
        os.close(null)
