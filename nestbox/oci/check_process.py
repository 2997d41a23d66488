"""Checks of ``process``: what the types of its fields cannot rule out.

Source: runtime-spec 1.3, config.md, "Process"; the man page named at each check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from nestbox.kernel.rlimits import RLIMITS
from nestbox.oci.names import read_list
from nestbox.oci.numbers import MAX_UINT64
from nestbox.oci.problem import Problem
from nestbox.oci.process import (
    IO_PRIORITY_CLASSES,
    SCHEDULER_FLAGS,
    SCHEDULER_POLICIES,
    Process,
    Scheduler,
)

_NO_ID: Final = (1 << 32) - 1  # (uid_t)-1 means "leave it" to setresuid(2)
_MAX_CELLS: Final = (1 << 16) - 1  # struct winsize has unsigned shorts


def problem(place: str, cause: str, remedy: str = "correct this value") -> Problem:
    """Return a problem of a place below ``process``."""
    return Problem(place=f"$.process.{place}", cause=cause, remedy=remedy)


def _program(process: Process) -> Iterator[Problem]:
    if not process.cwd:
        yield problem("cwd", "must not be empty", "write /")
    elif not process.cwd.startswith("/"):
        yield problem("cwd", f"{process.cwd!r} is not an absolute path")
    if not process.args:
        yield problem("args", "must not be empty", "name the program to run")
    elif not process.args[0]:
        yield problem("args[0]", "the program's name is empty", "name the program to run")


def _environment(process: Process) -> Iterator[Problem]:
    """Yield variables that are none; values are secrets and never shown."""
    for index, text in enumerate(process.env):
        name, separator, _ = text.partition("=")
        if not name or not separator:
            yield problem(f"env[{index}]", "is not of the form NAME=VALUE")


def _user(process: Process) -> Iterator[Problem]:
    user = process.user
    if user.umask is not None and user.umask > 0o777:
        yield problem("user.umask", f"{user.umask} is above 511 (octal 777)")
    for place, number in (("uid", user.uid), ("gid", user.gid)):
        if number == _NO_ID:
            yield problem(f"user.{place}", f"{number} is no id")
    for index, number in enumerate(user.additional_gids):
        if number == _NO_ID:
            yield problem(f"user.additionalGids[{index}]", f"{number} is no id")


def _terminal(process: Process) -> Iterator[Problem]:
    """The size counts only with a terminal. Source: ioctl_tty(2), TIOCSWINSZ."""
    size = process.console_size
    if process.terminal and size and max(size.height, size.width) > _MAX_CELLS:
        yield problem("consoleSize", f"a terminal has at most {_MAX_CELLS} rows and columns")


def _rlimits(process: Process) -> Iterator[Problem]:
    """Source: getrlimit(2)."""
    seen: set[str] = set()
    for index, limit in enumerate(process.rlimits):
        place = f"rlimits[{index}]"
        if limit.type not in RLIMITS:
            yield problem(f"{place}.type", f"invalid rlimit type {limit.type!r}")
        if limit.type in seen:
            yield problem(f"{place}.type", f"{limit.type} is duplicated", "give it once")
        seen.add(limit.type)
        if max(limit.soft, limit.hard) > MAX_UINT64:
            yield problem(place, "a limit needs more than 64 bits")
        elif limit.soft > limit.hard:
            yield problem(place, f"soft limit {limit.soft} is above the hard one, {limit.hard}")


def _oom_score(process: Process) -> Iterator[Problem]:
    """Source: proc(5), /proc/PID/oom_score_adj."""
    score = process.oom_score_adj
    if score is not None and not -1000 <= score <= 1000:
        yield problem("oomScoreAdj", f"{score} is not within -1000 and 1000")


def _scheduler(process: Process) -> Iterator[Problem]:
    """Source: sched_setattr(2), sched(7)."""
    scheduler = process.scheduler
    if scheduler is None:
        return
    place, policy = "scheduler.policy", scheduler.policy
    if not policy:
        yield problem(place, "must not be empty", f"one of {', '.join(SCHEDULER_POLICIES)}")
        return
    if policy not in SCHEDULER_POLICIES:
        yield problem(place, f"unknown scheduler policy {policy!r}")
    for index, flag in enumerate(scheduler.flags):
        if flag not in SCHEDULER_FLAGS:
            yield problem(f"scheduler.flags[{index}]", f"unknown scheduler flag {flag!r}")
    yield from _scheduler_numbers(scheduler)


def _scheduler_numbers(scheduler: Scheduler) -> Iterator[Problem]:
    policy, nice = scheduler.policy, scheduler.nice
    if policy in {"SCHED_OTHER", "SCHED_BATCH"} and not -20 <= nice <= 19:
        yield problem("scheduler.nice", f"{nice} is not within -20 and 19")
    if scheduler.priority and policy not in {"SCHED_FIFO", "SCHED_RR"}:
        yield problem("scheduler.priority", f"{policy} has none: it is for SCHED_FIFO and SCHED_RR")
    times = (scheduler.runtime, scheduler.deadline, scheduler.period)
    if any(times) and policy != "SCHED_DEADLINE":
        yield problem(
            "scheduler", "`runtime`, `deadline` and `period` are for SCHED_DEADLINE alone"
        )
    if max(times) > MAX_UINT64:
        yield problem("scheduler", "a time needs more than 64 bits")


def _io_priority(process: Process) -> Iterator[Problem]:
    """Source: ioprio_set(2)."""
    io_priority = process.io_priority
    if io_priority is None:
        return
    if io_priority.io_class not in IO_PRIORITY_CLASSES:
        yield problem("ioPriority.class", f"unknown class {io_priority.io_class!r}")
    if not 0 <= io_priority.priority <= 7:
        yield problem("ioPriority.priority", f"{io_priority.priority} is not within 0 and 7")


def _cpu_affinity(process: Process) -> Iterator[Problem]:
    affinity = process.exec_cpu_affinity
    if affinity is None:
        return
    for field, text in (("initial", affinity.initial), ("final", affinity.final)):
        try:
            empty = bool(text) and not read_list(text)
        except ValueError as error:
            yield problem(f"execCPUAffinity.{field}", str(error), "write it as 0-3,7")
        else:
            if empty:
                yield problem(f"execCPUAffinity.{field}", f"no CPU in {text!r}")


PROCESS_CHECKS: Final[tuple[Callable[[Process], Iterator[Problem]], ...]] = (
    _program,
    _environment,
    _user,
    _terminal,
    _rlimits,
    _oom_score,
    _scheduler,
    _io_priority,
    _cpu_affinity,
)
