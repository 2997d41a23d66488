"""kill -9 at a chosen point of a command of the OCI runtime, in a process that is this program's.

Points are not moments: a step is one of the plan, after which the executor waits and its runtime is
killed; an effect is one call that changes something outside of the process, before which it is.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import msgspec

from nestbox.plan.steps import Sync

KILL = "killed by a test"

# What makes, changes or removes something that outlives the process.
_OS_EFFECTS = (
    "mkdir", "rename", "rmdir", "symlink", "unlink", "write", "kill", "makedirs",
)  # fmt: skip


def die() -> None:
    """End this process as kill -9 does."""
    signal.raise_signal(signal.SIGKILL)


def killed(command: Callable[[], object]) -> bool:
    """Run a command in a child; return whether it was killed and did not come to its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            command()
            code = 0
        except BaseException:  # noqa: BLE001 - told, and then this process ends
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the command failed by itself"
    return False


@contextmanager
def kill_after_step(module: Any, compiler: str, conversation: Any, done: int) -> Iterator[None]:
    """Kill the runtime when the executor has done this many steps of its plan.

    ``compiler`` is the function of ``module`` that returns the plan, ``conversation`` the class
    whose method ``_at_sync`` answers the executor.
    """
    compile_plan, at_sync = getattr(module, compiler), conversation._at_sync

    def compile_with_stop(*arguments: Any, **named: Any) -> Any:
        plan = compile_plan(*arguments, **named)
        steps = (*plan.steps[:done], Sync(reason=KILL), *plan.steps[done:])
        return msgspec.structs.replace(plan, steps=steps)

    def answer(self: Any, report: Any, *arguments: Any) -> Any:
        number = getattr(report, "step", report)
        if getattr(self.plan.steps[number], "reason", "") == KILL:
            die()
        return at_sync(self, report, *arguments)

    with (
        mock.patch.object(module, compiler, compile_with_stop),
        mock.patch.object(conversation, "_at_sync", answer),
    ):
        yield


@contextmanager
def kill_before_effect(number: int) -> Iterator[None]:
    """Kill the process when it is about to have its effect of this number, counted from 0."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            if count == number:
                die()
            count += 1
            return function(*arguments, **named)

        return call

    with ExitStack() as patches:
        for name in _OS_EFFECTS:
            function = counted(getattr(os, name))
            patches.enter_context(mock.patch.object(os, name, function))
        patches.enter_context(_counted_opens(counted))
        yield


def _counted_opens(counted: Callable[..., Any]) -> Any:
    """Count an open(2) that may make a file."""
    plain = os.open

    def open_(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            return int(counted(plain)(path, flags, *arguments, **named))
        return plain(path, flags, *arguments, **named)

    return mock.patch.object(os, "open", open_)
