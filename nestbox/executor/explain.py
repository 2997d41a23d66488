"""A failed step -> an error with cause and remedy. Pure."""

from __future__ import annotations

import errno
import os

from nestbox.errors import LaunchError, ProgramNotFound, ProgramNotInvokable
from nestbox.executor.encode import Report
from nestbox.plan import steps as s
from nestbox.plan.render import describe

_EVERYTHING = 0
_DOCTOR = "run `nestbox doctor`: it says what is missing here and what brings it back"

# For (step, errno); errno _EVERYTHING stands for any other. Cause first, then remedy; an empty
# cause leaves the kernel's own words.
_KNOWN: dict[tuple[type[s.Step], int], tuple[str, str]] = {
    (s.Sync, errno.ECANCELED): ("nestbox ended before the launch did", "start it again"),
    (s.ParentDeath, errno.ECANCELED): ("nestbox ended before the launch did", "start it again"),
    (s.OpenTree, errno.ENOENT): ("there is no such file or directory", "check the path"),
    (s.OpenTree, errno.ENODEV): (
        "it is another file than when it was looked at",
        "see who replaces files under /dev",
    ),
    (s.OpenTree, errno.EPERM): (
        "copying a mount needs CAP_SYS_ADMIN in the user namespace that owns the mounts",
        _DOCTOR,
    ),
    (s.OpenTree, errno.EINVAL): (
        "mounts below it are locked by the user namespace, so it cannot be copied without them",
        "bind it with the option rbind",
    ),
    (s.NewFs, errno.EPERM): (
        "the outer environment does not allow this file system to be mounted",
        _DOCTOR,
    ),
    (s.NewFs, errno.ENODEV): (
        "the kernel does not have this file system",
        "load its module on the host",
    ),
    (s.Attach, errno.EXDEV): (
        "the target leads to a proc file system, where a mount would hide what the kernel says",
        "choose a target that is not below /proc, and look for a symbolic link on its way",
    ),
    (s.Attach, errno.ELOOP): (
        "a symbolic link in the root is in its way",
        "make it a real directory in the root",
    ),
    (s.Attach, errno.ENOTDIR): (
        "the target is a file and the source is a directory, or the reverse",
        "choose a target of the same type",
    ),
    (s.Attach, errno.EROFS): (
        "the target does not exist and the root is read-only",
        "make the target in the root, or use an overlay root",
    ),
    (s.Attach, errno.ENOSPC): (
        "there are more mounts than fs.mount-max allows",
        "raise the sysctl fs.mount-max",
    ),
    (s.ProcWrite, errno.EINVAL): ("the kernel refuses the value", "check the value"),
    (s.ProcWrite, errno.ENOENT): ("the kernel has no such file", "check its name"),
    (s.ProcWrite, errno.EROFS): ("/proc/sys is read-only here", _DOCTOR),
    (s.ChangeDirectory, errno.EXDEV): (
        "the working directory is outside the root",
        "choose one inside it with --workdir",
    ),
    (s.ChangeDirectory, errno.ENOENT): ("it does not exist in the root", "choose another one"),
    (s.ChangeDirectory, errno.ENOTDIR): ("it is not a directory", "choose another one"),
    (s.MakeDirectories, errno.EEXIST): (
        "a file or a dangling link is in its way",
        "choose another working directory",
    ),
    (s.MakeDirectories, errno.ENOTDIR): ("a file is in its way", "choose another one"),
    (s.MakeDirectories, errno.EROFS): (
        "it does not exist and the root is read-only",
        "choose a working directory that exists",
    ),
    (s.Rlimit, errno.EPERM): (
        "raising a hard limit needs CAP_SYS_RESOURCE in the initial user namespace",
        "ask for no more than the outer limit, which `nestbox doctor` shows",
    ),
    (s.Ids, errno.EINVAL): (
        "the id is not mapped in the user namespace",
        "map it with --userns, or choose another user",
    ),
    (s.Ids, errno.EPERM): (
        "changing ids needs CAP_SETUID and CAP_SETGID",
        _DOCTOR,
    ),
    (s.DropBounding, errno.EPERM): ("it needs CAP_SETPCAP", _DOCTOR),
    (s.Capset, errno.EPERM): (
        "the kernel gives less than was seen before the launch",
        _DOCTOR,
    ),
    (s.LoadSeccomp, errno.EACCES): (
        "without no_new_privs it needs CAP_SYS_ADMIN",
        "add --security-opt no-new-privileges",
    ),
    (s.LoadSeccomp, errno.EINVAL): (
        "the kernel refuses the filter",
        "check the seccomp profile",
    ),
    (s.Verify, errno.EBADE): (
        "the capability sets that the kernel shows are not those that were planned",
        "report it with the record of this launch: nothing was executed",
    ),
    (s.Verify, _EVERYTHING): (
        "",
        "allow capget and prctl in the seccomp profile",
    ),
    (s.Console, errno.ENOSPC): ("there is no free pseudo terminal", "raise kernel.pty.max"),
    (s.Init, errno.EAGAIN): ("no further process is allowed", "raise the limit of processes"),
}


def explain(plan: s.LaunchPlan, report: Report) -> LaunchError:
    """Return the error for a report of kind FAILED."""
    number = errno.errorcode.get(report.errno, str(report.errno))
    words = f"{os.strerror(report.errno).lower()} ({number})"
    if report.message:
        words += f"; the kernel says: {report.message}"
    if not 0 <= report.step < len(plan.steps):
        return LaunchError(
            "the executor refused the launch plan",
            cause=words,
            remedy="report it: this is a defect of nestbox",
        )
    step = plan.steps[report.step]
    if isinstance(step, s.Exec):
        return _explain_exec(step, report, words)
    known = _KNOWN.get((type(step), report.errno)) or _KNOWN.get((type(step), _EVERYTHING))
    cause, remedy = known or ("", _DOCTOR)
    return LaunchError(
        f"step {report.step} of the launch failed: {describe(step)}",
        cause=f"{cause}: {words}" if cause else words,
        remedy=remedy,
    )


def _explain_exec(step: s.Exec, report: Report, words: str) -> LaunchError:
    name = step.argv[0]
    where = ", ".join(step.candidates)
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
    cause, remedy = causes.get(report.errno, ("the kernel refused to execute it", _DOCTOR))
    return ProgramNotInvokable(f'cannot execute "{name}"', cause=f"{cause}: {words}", remedy=remedy)
