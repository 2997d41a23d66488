"""fuse-overlayfs, the program behind a root that no overlay of the kernel can make.

It runs outside of the container, where nothing in it can reach it, and in the container's user
namespace, whose ids it tells. It dies with this process, and ends by itself when the container's
mounts are gone.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.executor.encode import FAILED, REPORT_SIZE, decode_report, encode
from nestbox.executor.program import sealed_program
from nestbox.kernel import constants
from nestbox.kernel.spawn import Spawned, spawn
from nestbox.kernel.syscalls import memfd_create, pidfd_send_signal
from nestbox.plan.fuse import compile_fuse

if TYPE_CHECKING:
    from nestbox.plan.steps import LaunchPlan
    from nestbox.policy.launch_spec import RootSpec
    from nestbox.runtime.launch import Conversation

LAUNCH_SECONDS = 10.0  # in which each step of a launch has to be over whose root is by FUSE
_END_SECONDS = 5.0
_SIGKILL = 9
_SHOWN_BYTES = 512
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


class FuseRoot:
    """The program, from the step that mounts the root on. ``end`` has to be called."""

    def __init__(self, root: RootSpec) -> None:
        self._root = root
        self._child: Spawned | None = None
        self._status: os.waitid_result | None = None
        self._said = -1

    @property
    def pidfd(self) -> int | None:
        """A descriptor that can be read when the program has ended; None before its start."""
        return self._child.pidfd if self._child else None

    def take_over(self, conversation: Conversation) -> None:
        """Start the program on what the executor has lent, and limit the launch from here on.

        Raises:
            LaunchError: it cannot be executed.
        """
        device, conversation.lent = conversation.lent, None
        if device is None:
            raise self._failed("the executor has not handed over its descriptor of /dev/fuse")
        conversation.limit_seconds = LAUNCH_SECONDS
        self._start(device, conversation.pid, plain=conversation.plan.plain_clone)

    def _start(self, device: int, pid: int, *, plain: bool) -> None:
        """Start the program on /dev/fuse, which this takes, for the container of an executor."""
        try:
            with contextlib.ExitStack() as undo:
                # While a copy of it is open here, nobody would be told that the program is gone.
                undo.callback(os.close, device)
                plan = self._plan(pid)
                self._said = memfd_create("nestbox-fuse", constants.MFD_CLOEXEC)
                nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
                undo.callback(os.close, nothing)
                self._child = spawn(
                    encode(plan),
                    program=sealed_program(),
                    flags=0,
                    stdio=(nothing, nothing, self._said),
                    plain=plain,
                    preserved=(device, *self._directories(undo)),
                )
            self._wait_for_exec(plan)
        except OSError as error:
            raise self._failed(reason(error)) from error

    def _plan(self, pid: int) -> LaunchPlan:
        import resource

        assert self._root.fuse is not None
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return compile_fuse(
            self._root.fuse,
            user_namespace=f"/proc/{pid}/ns/user" if self._root.fuse.user_namespace else "",
            files_limit=None if limit == resource.RLIM_INFINITY else limit,
        )

    def _directories(self, undo: contextlib.ExitStack) -> list[int]:
        """Return the descriptors of the lower, the upper and the work directory."""
        upper = self._root.upper
        assert upper is not None
        opened = []
        for path, mode in (
            (self._root.directory, None),
            (f"{upper}/upper", 0o755),
            (f"{upper}/work", 0o700),
        ):
            if mode is not None:
                os.mkdir(path, 0o700)
                os.chmod(path, mode)
            opened.append(os.open(path, _DIRECTORY))
            undo.callback(os.close, opened[-1])
        return opened

    def _wait_for_exec(self, plan: LaunchPlan) -> None:
        """Wait until the program is executed. Raises LaunchError when a step to it fails."""
        assert self._child is not None
        if not _is_ready(self._child.control, LAUNCH_SECONDS):
            raise self._failed(f"it was not executed within {LAUNCH_SECONDS:g} seconds")
        data = os.read(self._child.control, REPORT_SIZE)
        if data and decode_report(data).kind == FAILED:
            from nestbox.executor.explain import explain

            raise explain(plan, decode_report(data))

    def lost(self) -> LaunchError | None:
        """Return the error of a program that failed; None while it runs, or when all went well."""
        if self._child is None or not self._has_ended(0):
            return None
        assert self._status is not None
        number = self._status.si_status
        if self._status.si_code == os.CLD_EXITED:
            if number == 0:
                return None  # the container's mounts are gone, and so is its work
            how = f"exit status {number}"
        else:
            how = f"signal {number}"
        words = self._last_words()
        return self._failed(f"it ended with {how}" + (f": {words}" if words else ""))

    def _failed(self, cause: str) -> LaunchError:
        return LaunchError(
            "fuse-overlayfs does not show the container's root",
            cause=cause,
            remedy="use --rootfs host:copy, or a root on a file system that takes an overlay",
        )

    def _last_words(self) -> str:
        size = os.fstat(self._said).st_size
        text = os.pread(self._said, _SHOWN_BYTES, max(0, size - _SHOWN_BYTES))
        lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
        return "; ".join([line for line in lines if line][-2:])

    def _has_ended(self, seconds: float) -> bool:
        assert self._child is not None
        if self._status is None and _is_ready(self._child.pidfd, seconds):
            with contextlib.suppress(ChildProcessError):
                self._status = os.waitid(os.P_PIDFD, self._child.pidfd, os.WEXITED)
        return self._status is not None

    def end(self) -> None:
        """Wait for the end of the program, which follows that of its mount, or bring it about."""
        if self._child is not None:
            if not self._has_ended(_END_SECONDS):
                with contextlib.suppress(ProcessLookupError):
                    pidfd_send_signal(self._child.pidfd, _SIGKILL)
                self._has_ended(_END_SECONDS)
            os.close(self._child.pidfd)
            os.close(self._child.control)
            self._child = None
        if self._said >= 0:
            os.close(self._said)
            self._said = -1


def _is_ready(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
