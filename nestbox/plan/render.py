"""LaunchPlan -> the text of `nestbox plan`: one line a step."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from nestbox.kernel.capabilities import names_in
from nestbox.plan import steps as s


def render(plan: s.LaunchPlan) -> str:
    """Return the plan as numbered lines, the way the executor is started first."""
    lines = [f"    clone executor into new namespaces: {' '.join(plan.namespaces) or 'none'}"]
    lines += [f"{number:3} {describe(step)}" for number, step in enumerate(plan.steps)]
    return "\n".join(lines)


def describe(step: s.Step) -> str:
    """Return one line that names the step and its operands; never an environment variable."""
    return _DESCRIPTIONS[type(step)](step)


def _slot(number: int) -> str:
    return s.SLOT_NAMES[number] if number < len(s.SLOT_NAMES) else "outer"


def _inside(base: int, path: str) -> str:
    """Return the path in the container of a path below a mount of its own."""
    if base == s.SLOT_SCRATCH:
        return f"{_slot(base)}:{path}"
    return s.SLOT_PLACES.get(base, "") + path


def _names(mask: int) -> str:
    return " ".join(name.removeprefix("CAP_") for name in names_in(mask)) or "none"


def _limit(value: int | None) -> str:
    return "unlimited" if value is None else str(value)


def _new_fs(step: s.NewFs) -> str:
    options = ",".join(
        f"{key}={value}" if value else key for key, value in step.options if key != "source"
    )
    flags = ",".join(step.attributes)
    return f"mount a new {step.fstype}" + "".join(f" ({x})" for x in (flags, options) if x)


def _set_attr(step: s.SetAttr) -> str:
    words = [*step.attributes, *(f"not-{name}" for name in step.cleared)]
    if step.propagation:
        words.append(step.propagation)
    return f"set {','.join(words)} on {_slot(step.slot)}{' and below' if step.recursive else ''}"


def _open_tree(step: s.OpenTree) -> str:
    kind = f" ({step.kind} {step.major}:{step.minor})" if step.kind else ""
    below = " and below" if step.recursive else ""
    base = "" if step.base == s.SLOT_NONE else f"{_slot(step.base)}:"
    return f"copy the mount of {base}{step.path}{below}{kind}"


def _ids(step: s.Ids) -> str:
    groups = "kept" if step.groups is None else " ".join(map(str, step.groups)) or "none"
    return f"become uid {step.uid}, gid {step.gid}, groups {groups}"


def _capset(step: s.Capset) -> str:
    return (
        f"set capabilities: effective {_names(step.effective)}; permitted"
        f" {_names(step.permitted)}; inheritable {_names(step.inheritable)}"
    )


def _exec(step: s.Exec) -> str:
    where = " or ".join(step.candidates)
    return f"execute {shlex.join(step.argv)} at {where} with {len(step.environment)} variables"


_DESCRIPTIONS: dict[type[s.Step], Callable[[Any], str]] = {
    s.Sync: lambda x: f"wait for the runtime: {x.reason}",
    s.ParentDeath: lambda x: f"die by signal {x.signal} when nestbox dies",
    s.Dumpable: lambda x: f"set dumpable to {x.value}",
    s.Keyring: lambda x: "join a new session keyring",
    s.Unshare: lambda x: f"enter new namespaces: {' '.join(x.namespaces)}",
    s.Hostname: lambda x: f"set the host name {x.name}",
    s.Loopback: lambda x: "bring up lo",
    s.Session: lambda x: "start a session without a terminal",
    s.Umask: lambda x: f"set umask {x.mask:04o}",
    s.Rlimit: lambda x: f"limit {x.name} to {_limit(x.soft)}, hard {_limit(x.hard)}",
    s.ProcWrite: lambda x: f"write {x.value!r} to /proc/{x.path}",
    s.Propagation: lambda x: f"make all mounts {x.propagation}",
    s.OpenTree: _open_tree,
    s.NewFs: _new_fs,
    s.SetAttr: _set_attr,
    s.Attach: lambda x: f"attach it at {_inside(x.base, x.target)}",
    s.AttachRoot: lambda x: f"attach {_slot(x.slot)} over /",
    s.KeepSlot: lambda x: f"keep it as {_slot(x.target)}",
    s.OpenDirectory: lambda x: f"open {x.path} as {_slot(x.slot)}",
    s.MakeDirectory: lambda x: f"make directory {x.name} in {_slot(x.base)}",
    s.MakeFile: lambda x: f"make file {x.name} in {_slot(x.base)}",
    s.EnterDirectory: lambda x: f"enter {_slot(x.slot)}",
    s.Mask: lambda x: f"mask {_inside(x.base, x.path)}",
    s.ReadOnly: lambda x: f"make {_inside(x.base, x.path)} read-only",
    s.MakeDevice: lambda x: f"make device /dev/{x.name} ({x.kind} {x.major}:{x.minor})",
    s.MakeLink: lambda x: f"link /dev/{x.name} to {x.value}",
    s.MakeDirectories: lambda x: f"make directory {x.path} if it is missing",
    s.Pivot: lambda x: "pivot into the root, drop the outer tree",
    s.ChangeDirectory: lambda x: f"enter directory {x.path}",
    s.Console: lambda x: f"open a terminal as {_inside(x.base, x.target)} for uid {x.uid}",
    s.DropBounding: lambda x: f"drop from bounding: {_names(x.mask)}",
    s.Ids: _ids,
    s.Capset: _capset,
    s.RaiseEffective: lambda x: "make permitted capabilities effective",
    s.Ambient: lambda x: f"set ambient capabilities: {_names(x.mask)}",
    s.NoNewPrivs: lambda x: "set no_new_privs",
    s.LoadSeccomp: lambda x: f"load a seccomp filter of {len(x.program) // 8} instructions",
    s.Verify: lambda x: f"read the capability sets back: bounding {_names(x.bounding)}",
    s.Init: lambda x: "leave an init behind as PID 1",
    s.Exec: _exec,
}
