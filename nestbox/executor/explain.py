"""A failed step -> an error with cause and remedy. Pure."""

from __future__ import annotations

import errno
import os

from nestbox.errors import LaunchError, ProgramNotFound, ProgramNotInvokable
from nestbox.executor.causes import DOCTOR, EVERYTHING, KNOWN
from nestbox.executor.encode import Report
from nestbox.plan import steps as s
from nestbox.plan.render import describe

# How a hook ended, in the first value of its report: 1, or 2 for a signal; see plan.h.
HOOK_EXITED = 1


def explain(plan: s.LaunchPlan, report: Report) -> LaunchError:
    """Return the error for a report of kind FAILED."""
    words = _words(report)
    if not 0 <= report.step < len(plan.steps):
        return LaunchError(
            "the executor refused the launch plan",
            cause=words,
            remedy="report it: this is a defect of nestbox",
        )
    step = plan.steps[report.step]
    if isinstance(step, s.Exec):
        return _explain_exec(step.argv[0], step.candidates, report)
    if isinstance(step, s.FindProgram):
        return _explain_exec(step.name, step.candidates, report)
    if isinstance(step, s.Hook):
        return _explain_hook(step, report)
    if report.message:
        words += f"; the kernel says: {report.message}"
    known = KNOWN.get((type(step), report.errno)) or KNOWN.get((type(step), EVERYTHING))
    cause, remedy = known or ("", DOCTOR)
    return LaunchError(
        f"step {report.step} of the launch failed: {describe(step)}",
        cause=f"{cause}: {words}" if cause else words,
        remedy=remedy,
    )


def _words(report: Report) -> str:
    number = errno.errorcode.get(report.errno, str(report.errno))
    return f"{os.strerror(report.errno).lower()} ({number})"


def hook_end(report: Report) -> str:
    """Return how a hook ended that did not succeed: "exit status 1", "signal: killed"."""
    if report.errno != errno.ECHILD:
        return os.strerror(report.errno).lower()
    how, number = report.values[:2]
    if how == HOOK_EXITED:
        return f"exit status {number}"
    from signal import strsignal

    return f"signal: {(strsignal(number) or str(number)).lower()}"


def _explain_hook(step: s.Hook, report: Report) -> LaunchError:
    cause = f"it could not be executed: {hook_end(report)}"
    remedy = "check the path of the hook and its rights"
    if report.errno == errno.ETIMEDOUT:
        cause = f"it ran longer than {step.timeout_seconds} seconds and was killed"
        remedy = "allow it more time"
    elif report.errno == errno.ECHILD:
        said = f"; it said: {report.message}" if report.message else ""
        cause = f"it ended with {hook_end(report)}{said}"
        remedy = "see what the hook does, or take it out of the configuration"
    return LaunchError(f"the {step.kind} hook {step.path} failed", cause=cause, remedy=remedy)


def _explain_exec(name: str, candidates: tuple[str, ...], report: Report) -> LaunchError:
    where = ", ".join(candidates)
    words = _words(report)
    if report.errno in {errno.ENOENT, errno.ENOTDIR}:
        cause = f"no such file in the container at {where}, or its interpreter is not there"
        return ProgramNotFound(
            f'cannot execute "{name}": executable file not found',
            cause=f"{cause}: {words}",
            remedy="check the name, PATH and the root file system",
        )
    causes = {
        errno.EACCES: (
            f"no file at {where} may be executed by this user",
            "set its execute bit, check that no noexec mount holds it, or choose another user",
        ),
        errno.EISDIR: ("it is a directory", "name a program in it"),
        errno.EPERM: (
            "the file has capabilities that the bounding set does not allow, or a security"
            " module forbids it",
            "add the capabilities that `getcap` shows with --cap-add, or remove them from the file",
        ),
        errno.ENOEXEC: (
            "it is not a program of this machine's format and has no #! line",
            "start it by its interpreter, as in: sh SCRIPT",
        ),
        errno.E2BIG: (
            "arguments and environment are larger than the kernel takes",
            "pass fewer or shorter ones",
        ),
    }
    cause, remedy = causes.get(report.errno, ("the kernel refused to execute it", DOCTOR))
    return ProgramNotInvokable(f'cannot execute "{name}"', cause=f"{cause}: {words}", remedy=remedy)
