"""What the executor tells and is told over its control socket, from here without cffi or msgspec.

Each message of the executor is one ``struct nb_report`` of executor/plan.h, at times with a
descriptor; each answer is one message too: a payload that a later step wants, and at times a
descriptor. The command ``start`` talks to an executor that another command started, so that
nothing here knows who is the parent of whom.
"""

from __future__ import annotations

import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[bytes, int]  # a payload, and a descriptor or -1

# struct nb_report and enum nb_report_kind; tests/runtime/oci/test_talk.py compares them.
_REPORT = struct.Struct("=IiiI6Q160s")
FAILED, SYNC, CONSOLE, SETS, CREATED, FORKED, LISTENER = range(1, 8)
_GO = b"g"
_MOST_DESCRIPTORS = 4  # in one message; more than ours ever has, so that none is left unseen


class Report:
    """One message: ``value`` are six numbers, ``fd`` a descriptor of ours now or -1."""

    __slots__ = ("errno", "fd", "kind", "message", "step", "value")

    def __init__(self, data: bytes, fd: int) -> None:
        members = _REPORT.unpack(data)
        self.kind: int = members[0]
        self.step: int = members[1]
        self.errno: int = members[2]
        self.value: tuple[int, ...] = members[4:10]
        self.message: str = members[10].partition(b"\0")[0].decode(errors="replace")
        self.fd = fd


class Talk:
    """One control socket. The descriptor becomes this object's own."""

    def __init__(self, control: int) -> None:
        # The Python module around it costs six milliseconds.
        import _socket

        self._module = _socket
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, control)

    def receive(self) -> Report | None:
        """Return the next report; None when the other end is closed.

        Raises:
            OSError: the connection broke, or what came is no report.
        """
        space = self._module.CMSG_SPACE(_MOST_DESCRIPTORS * 4)
        data, ancillary, flags, _ = self._socket.recvmsg(
            _REPORT.size + 1, space, self._module.MSG_CMSG_CLOEXEC
        )
        descriptors = [fd for item in ancillary for fd in self._descriptors(item)]
        for fd in descriptors[1:]:
            os.close(fd)
        fd = descriptors[0] if descriptors else -1
        if not data:
            return None
        if len(data) != _REPORT.size or flags & self._module.MSG_CTRUNC:
            if fd >= 0:
                os.close(fd)
            raise OSError(errno.EPROTO, "what the executor sent is no report")
        return Report(data, fd)

    def _descriptors(self, item: tuple[int, int, bytes]) -> tuple[int, ...]:
        level, kind, data = item
        if level != self._module.SOL_SOCKET or kind != self._module.SCM_RIGHTS:
            return ()
        return struct.unpack(f"={len(data) // 4}i", data[: len(data) // 4 * 4])

    def go(self, payload: bytes = b"", fd: int = -1) -> None:
        """Let the executor go on. Raises OSError when it is gone."""
        ancillary = []
        if fd >= 0:
            rights = (self._module.SOL_SOCKET, self._module.SCM_RIGHTS, struct.pack("=i", fd))
            ancillary.append(rights)
        self._socket.sendmsg([_GO, payload], ancillary, self._module.MSG_NOSIGNAL)

    def close(self) -> None:
        """Close our end."""
        self._socket.close()


def converse(talk: Talk, act: Callable[[Report], Answer | None]) -> None:
    """Hand each report to ``act`` until the executor has executed or is gone.

    What ``act`` returns for a report is the answer to it; None is none.
    """
    while (report := talk.receive()) is not None:
        answer = act(report)
        if answer is not None:
            talk.go(*answer)
