"""A failed step -> the words that callers of runc look for. Pure.

Engines match these phrases to tell what kind of failure it was: a program that is missing from one
that may not be executed, and both from all else. Cause and remedy are added by whoever prints them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from nestbox.executor.encode import Report
from nestbox.executor.explain import hook_end
from nestbox.kernel.rlimits import RLIMITS
from nestbox.plan import steps as s
from nestbox.plan.render import describe

_KERNELS = {"/proc": "proc", "/sys": "sysfs"}
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR})


def oci_words(plan: s.LaunchPlan, report: Report) -> str:
    """Return what runc would say about a report of kind FAILED, without its prefixes."""
    words = os.strerror(report.errno).lower()
    if not 0 <= report.step < len(plan.steps):
        return f"the launch plan was refused: {words}"
    step = plan.steps[report.step]
    found = _of_program(plan, step, words, report.errno)
    if found is None:
        found = _of_mount(plan, report, words)
    if found is None:
        found = _of_setting(plan, step, report, words)
    if found is None:
        found = f"{describe(step)}: {words}"
    if report.message and not isinstance(step, s.Hook):
        found += f": {report.message}"
    return found


def _of_program(plan: s.LaunchPlan, step: s.Step, words: str, number: int) -> str | None:
    if isinstance(step, s.FindProgram):
        return _not_found(step.name, step.candidates, words, number)
    if not isinstance(step, s.Exec):
        return None
    if any(isinstance(x, s.FindProgram) for x in plan.steps):
        # It was there: what the kernel refuses is the file that was found.
        return f"exec {step.candidates[0] if len(step.candidates) == 1 else step.argv[0]}: {words}"
    return _not_found(step.argv[0], step.candidates, words, number)


def _not_found(name: str, candidates: tuple[str, ...], words: str, number: int) -> str:
    if "/" not in name and number in {*_NOT_THERE, errno.EACCES, errno.EISDIR}:
        return f'exec: "{name}": executable file not found in $PATH'
    if number in _NOT_THERE:
        return f'exec: "{name}": stat {candidates[0] if candidates else name}: {words}'
    return f'exec: "{name}": {words}'


def _of_mount(plan: s.LaunchPlan, report: Report, words: str) -> str | None:
    """What a mount is to be, and where: the step that attaches it says the latter."""
    step = plan.steps[report.step]
    kernels = _KERNELS.get(step.target) if isinstance(step, s.Attach) else None
    if kernels and report.errno in {errno.ELOOP, errno.ENOTDIR}:
        return f'filesystem "{kernels}" must be mounted on ordinary directory'
    source = ""
    for before in reversed(plan.steps[: report.step + 1]):
        if isinstance(before, s.NewFs):
            source = dict(before.options).get("source", before.fstype)
            break
        if isinstance(before, s.OpenTree):
            source = before.path
            break
        if isinstance(before, s.Attach) and before is not step:
            break
    if not isinstance(step, s.NewFs | s.OpenTree | s.SetAttr | s.Attach | s.CopyUp):
        return None
    for after in plan.steps[report.step :]:
        if isinstance(after, s.Attach):
            target = s.SLOT_PLACES.get(after.base, "") + after.target
            return f'error mounting "{source}" to rootfs at "{target}": {words}'
        if isinstance(after, s.AttachRoot | s.Pivot | s.Chroot):
            break
    return None


def _of_setting(plan: s.LaunchPlan, step: s.Step, report: Report, words: str) -> str | None:
    if isinstance(step, s.Hook):
        return _of_hook(plan, step, report)
    if isinstance(step, s.ChangeDirectory) and report.errno == errno.EXDEV:
        return _BREAKOUT
    if isinstance(step, s.Scheduler) and report.errno == errno.EPERM and step.deadline:
        # The kernel takes it only with every processor of the machine.
        return f"process scheduler can't be used together with AllowedCPUs: {words}"
    describer = _SETTINGS.get(type(step))
    return None if describer is None else f"{describer(step)}: {words}"


def _proc_file(step: s.ProcWrite) -> str:
    if not step.path.startswith("sys/"):
        return f"write /proc/{step.path}"
    return f"write sysctl key {step.path.removeprefix('sys/').replace('/', '.')}"


_BREAKOUT = (
    "current working directory is outside of container mount namespace root -- possible container"
    " breakout detected"
)
_SETTINGS: dict[type[s.Step], Callable[[Any], str]] = {
    s.ChangeDirectory: lambda x: f'chdir to cwd ("{x.path}") set in config.json failed',
    s.MakeDirectories: lambda x: f"mkdir {x.path}",
    s.Rlimit: lambda x: f"error setting rlimit type {RLIMITS[x.name]}",
    s.ProcWrite: _proc_file,
    s.Capset: lambda x: "unable to apply caps",
    s.DropBounding: lambda x: "unable to apply caps",
}


def _of_hook(plan: s.LaunchPlan, step: s.Hook, report: Report) -> str:
    kind = [x for x in plan.steps if isinstance(x, s.Hook) and x.kind == step.kind]
    number = next(i for i, x in enumerate(kind) if x is step)
    end = hook_end(report)
    if report.errno == errno.ETIMEDOUT:
        end = f"hook ran past specified timeout of {step.timeout_seconds}s"
    elif report.errno != errno.ECHILD:
        end = f"fork/exec {step.path}: {end}"
    return f"error running {step.kind} hook #{number}: {end}, stdout: , stderr: {report.message}"
