"""A conversation with the executor as any runtime could have it, for tests of what it says."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator

import msgspec

from nestbox.executor.encode import (
    CREATED,
    FAILED,
    FORKED,
    REPORT_SIZE,
    SYNC,
    Report,
    decode_report,
    encode,
    namespace_flags,
)
from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import spawn
from nestbox.plan import steps as s

SECONDS = 20
# What the runtime does at a sync point or for a Receive: bytes of a payload, a descriptor or none.
Answer = Callable[[s.Step, int], tuple[bytes, int | None]]


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One report and the descriptor that came with it."""

    report: Report
    fd: int | None


def go(control: socket.socket, payload: bytes = b"", fd: int | None = None) -> None:
    """Say go."""
    if fd is None:
        control.send(b"g" + payload)
    else:
        socket.send_fds(control, [b"g" + payload], [fd])


def hear(control: socket.socket) -> Heard | None:
    """Return the next report, None at the end."""
    assert select.select([control], [], [], SECONDS)[0], "the executor hangs"
    data, fds, _, _ = socket.recv_fds(control, REPORT_SIZE, 1)
    if not data:
        return None
    return Heard(report=decode_report(data), fd=fds[0] if fds else None)


def no_answer(step: s.Step, pid: int) -> tuple[bytes, int | None]:
    """Answer nothing but go."""
    return b"", None


class Talk:
    """One started executor: its process, what it said, and how it ends."""

    def __init__(
        self,
        plan: s.LaunchPlan,
        *,
        stdout: int,
        listener: int = -1,
        preserved: tuple[int, ...] = (),
    ) -> None:
        self.plan = plan
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        child = spawn(
            encode(plan),
            program=sealed_program(),
            flags=namespace_flags(plan.namespaces),
            stdio=(null, stdout, stdout),
            listener=listener,
            preserved=preserved,
        )
        os.close(null)
        self.pid, self.pidfd = child.pid, child.pidfd
        self.control = socket.socket(fileno=child.control)
        self.heard: list[Heard] = []

    def go_on(self, answer: Answer = no_answer, control: socket.socket | None = None) -> None:
        """Answer until the other side closes or is created."""
        control = control or self.control
        while (heard := hear(control)) is not None:
            self.heard.append(heard)
            if heard.report.kind == FORKED:
                self._follow(heard.report.values[0])
            if heard.report.kind == SYNC:
                go(control, *answer(self.plan.steps[heard.report.step], self.pid))
            if heard.report.kind == CREATED:
                return

    def _follow(self, pid: int) -> None:
        os.close(self.pidfd)
        assert os.waitpid(self.pid, 0)[1] == 0
        self.pid, self.pidfd = pid, os.pidfd_open(pid)

    def kinds(self) -> list[int]:
        """Return the kinds of all reports."""
        return [heard.report.kind for heard in self.heard]

    def failure(self) -> Report | None:
        """Return the report of a failed step."""
        return next((x.report for x in self.heard if x.report.kind == FAILED), None)

    def wait(self) -> int:
        """Return the wait status as an exit code, 128 + n for a signal."""
        ended = select.select([self.pidfd], [], [], SECONDS)[0]
        assert ended, "the container hangs"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        """End it if it lives."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.control.close()
        for heard in self.heard:
            if heard.fd is not None:
                with contextlib.suppress(OSError):
                    os.close(heard.fd)


@contextlib.contextmanager
def talking(
    plan: s.LaunchPlan, *, listener: int = -1, preserved: tuple[int, ...] = ()
) -> Iterator[tuple[Talk, int]]:
    """A started executor and the file that gets its output."""
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    talk = Talk(plan, stdout=output, listener=listener, preserved=preserved)
    try:
        yield talk, output
    finally:
        talk.close()
        os.close(output)


def text_of(output: int) -> str:
    """Return what was printed."""
    return os.pread(output, 1 << 20, 0).decode()
