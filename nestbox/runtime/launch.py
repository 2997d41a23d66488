"""One launch: the executor is started with a plan, answered at its sync points, and waited for."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable

import msgspec

from nestbox.errors import LaunchError, reason
from nestbox.executor.encode import (
    CONSOLE,
    FAILED,
    REPORT_SIZE,
    SETS,
    SYNC,
    decode_report,
    namespace_flags,
)
from nestbox.executor.program import sealed_program
from nestbox.kernel.spawn import spawn
from nestbox.outer.facts import CapabilitySets
from nestbox.plan.steps import SYNC_FUSE, Console, LaunchPlan, MountFuse, Sync

_GO = b"g"

# What clone3(2) and the making of descriptors run into besides missing rights.
_START_REMEDIES = {
    errno.EMFILE: "allow this process more open files (ulimit -n)",
    errno.ENFILE: "raise the sysctl fs.file-max",
    errno.EAGAIN: "allow more processes: the pids limit of the outer cgroup, and ulimit -u",
    errno.ENOMEM: "free some memory, or raise the memory limit of the outer cgroup",
    errno.ENOSPC: "raise the sysctls user.max_*_namespaces",
}
_SIGKILL = 9


class Launched(msgspec.Struct, frozen=True, kw_only=True):
    """A container whose program was executed. The caller owns the descriptors and waits.

    ``sets`` are those that the executor read back before its exec; ``master`` is the other end of
    the container's terminal, None without one.
    """

    pid: int
    pidfd: int
    sets: CapabilitySets | None
    master: int | None


class Conversation:
    """A started executor and what it has told so far.

    ``master`` is the other end of the container's terminal, from the step that opens it, and
    ``lent`` a descriptor that came with a sync point, which the one who answers it takes. With
    ``limit_seconds`` the launch fails when the executor tells nothing for so long.
    """

    def __init__(
        self,
        plan: LaunchPlan,
        encoded: bytes,
        *,
        stdio: tuple[int, int, int],
        cgroup: int = -1,
    ) -> None:
        """Start the executor. Raises LaunchError when the kernel refuses that."""
        self.plan = plan
        self._lends = any(isinstance(step, Console | MountFuse) for step in plan.steps)
        self.lent: int | None = None
        self.limit_seconds: float | None = None
        try:
            self._child = spawn(
                encoded,
                program=sealed_program(),
                flags=namespace_flags(plan.namespaces),
                stdio=stdio,
                plain=plan.plain_clone,
                cgroup=cgroup,
            )
        except OSError as error:
            raise _not_started(plan, error) from error
        self.pid = self._child.pid
        self.master: int | None = None
        self._sets: CapabilitySets | None = None

    def finish(self, at_sync: Callable[[str, Conversation], None]) -> Launched:
        """Answer the executor until its program runs.

        ``at_sync`` is called with the reason of each sync point and this conversation, does what
        the executor waits for, and may raise to stop the launch.

        Raises:
            LaunchError: a step failed; the executor is dead and waited for.
        """
        try:
            self._converse(at_sync)
        except BaseException:
            self.abandon()
            raise
        os.close(self._child.control)
        return Launched(pid=self.pid, pidfd=self._child.pidfd, sets=self._sets, master=self.master)

    def _converse(self, at_sync: Callable[[str, Conversation], None]) -> None:
        while data := self._receive():
            report = decode_report(data)
            if report.kind == FAILED:
                from nestbox.executor.explain import explain

                raise explain(self.plan, report)
            if report.kind == SETS:
                self._sets = report.sets
            if report.kind == SYNC:
                step = self.plan.steps[report.step]
                assert isinstance(step, Sync | MountFuse)
                at_sync(step.reason if isinstance(step, Sync) else SYNC_FUSE, self)
                os.write(self._child.control, _GO)
        if self._sets is None:
            # It closed its descriptor without having come to the last step.
            raise LaunchError(
                "the executor died during the launch",
                cause="it was killed: by the outer environment's seccomp filter, for want of"
                " memory, or by somebody's signal",
                remedy="run `nestbox doctor`, and look at the kernel log",
            )

    def _receive(self) -> bytes:
        """Return the next report, or nothing when the executor is gone or has executed."""
        if self.limit_seconds is not None:
            self._wait_for_report(self.limit_seconds)
        if not self._lends:
            return os.read(self._child.control, REPORT_SIZE)
        # Only terminals and FUSE come with a descriptor; the socket module costs six milliseconds.
        import socket

        with socket.socket(fileno=os.dup(self._child.control)) as control:
            data, descriptors, _, _ = socket.recv_fds(
                control, REPORT_SIZE, 1, socket.MSG_CMSG_CLOEXEC
            )
        if descriptors:
            os.set_inheritable(descriptors[0], False)
            kind = decode_report(data).kind if data else None
            if kind == CONSOLE:
                self.master = descriptors[0]
            elif kind == SYNC and self.lent is None:
                self.lent = descriptors[0]
            else:
                os.close(descriptors[0])
        return data

    def _wait_for_report(self, seconds: float) -> None:
        import select

        poll = select.poll()
        poll.register(self._child.control, select.POLLIN)
        if not poll.poll(seconds * 1000):
            raise LaunchError(
                "the launch was stopped",
                cause=f"the executor told nothing for {seconds:g} seconds",
                remedy="see whether the file system of the root answers",
            )

    def abandon(self) -> None:
        """Kill the executor, and with it everything in its pid namespace, and wait for it."""
        from nestbox.kernel.syscalls import pidfd_send_signal

        try:
            pidfd_send_signal(self._child.pidfd, _SIGKILL)
        except ProcessLookupError:
            pass
        with contextlib.suppress(ChildProcessError):  # reaped by another part of this program
            os.waitid(os.P_PIDFD, self._child.pidfd, os.WEXITED)
        os.close(self._child.pidfd)
        os.close(self._child.control)
        for fd in (self.master, self.lent):
            if fd is not None:
                os.close(fd)


def _not_started(plan: LaunchPlan, error: OSError) -> LaunchError:
    names = ", ".join(plan.namespaces)
    call = "clone(2)" if plan.plain_clone else "clone3(2)"
    return LaunchError(
        "cannot start the executor",
        cause=f"{call} with new namespaces ({names}): {reason(error)}",
        remedy=_START_REMEDIES.get(
            error.errno or 0, "run `nestbox doctor`: it tries each namespace and says what stops it"
        ),
    )


def exit_code_of(status: int, *, signalled: bool) -> int:
    """Return the exit code that stands for a wait status: 128 + n for signal n."""
    return 128 + status if signalled else status


def wait(launched: Launched) -> int:
    """Return the exit code of the container's first process, once it is dead, and reap it.

    Raises:
        LaunchError: it was reaped by somebody else, and its status is lost.
    """
    try:
        result = os.waitid(os.P_PIDFD, launched.pidfd, os.WEXITED)
    except ChildProcessError as error:
        raise LaunchError(
            "cannot tell how the container ended",
            cause="another part of this program reaped it, or SIGCHLD is ignored",
            remedy="handle SIGCHLD by default, and wait for no child but one's own",
        ) from error
    assert result is not None
    return exit_code_of(result.si_status, signalled=result.si_code != os.CLD_EXITED)
