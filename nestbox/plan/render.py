"""LaunchPlan -> the text of `nestbox plan`: one line a step."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from nestbox.kernel.capabilities import names_in
from nestbox.plan import steps as s


def render(plan: s.LaunchPlan) -> str:
    """Return the plan as numbered lines, the way the executor is started first."""
    how = ", by clone(2)" if plan.plain_clone else ""
    names = " ".join(plan.namespaces) or "none"
    lines = [f"    clone executor into new namespaces: {names}{how}"]
    lines += [f"{number:3} {describe(step)}" for number, step in enumerate(plan.steps)]
    return "\n".join(lines)


def describe(step: s.Step) -> str:
    """Return one line that names the step and its operands; never an environment variable."""
    return _DESCRIPTIONS[type(step)](step)


def _slot(number: int) -> str:
    return s.SLOT_NAMES[number].replace("_", " ") if number < len(s.SLOT_NAMES) else "outer"


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
    options = _options(tuple(pair for pair in step.options if pair[0] != "source"))
    flags = ",".join(step.attributes)
    if step.mode_of:
        options = f"{options},mode of {_inside(step.base, step.mode_of)}".lstrip(",")
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


def _make_device(step: s.MakeDevice) -> str:
    if step.kind == "p":
        return f"make fifo {_inside(step.base, step.name)}"
    return f"make device {_inside(step.base, step.name)} ({step.kind} {step.major}:{step.minor})"


def _options(options: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{key}={value}" if value else key for key, value in options)


def _change_directory(step: s.ChangeDirectory) -> str:
    words = {
        s.CHDIR_IF_ALLOWED: " unless only its user may",
        s.CHDIR_POSTPONED: " as its user, unless it was done",
    }
    return f"enter directory {step.path}{words.get(step.when, '')}"


def _console(step: s.Console) -> str:
    where = f" as {_inside(step.base, step.target)}" if step.target else ""
    size = f", {step.size[0]} by {step.size[1]}" if step.size else ""
    return f"open a terminal{where} for uid {step.uid}{size}"


def _hook(step: s.Hook) -> str:
    limit = f", at most {step.timeout_seconds} s" if step.timeout_seconds else ""
    return f"run the {step.kind} hook {step.path}{limit}"


def _scheduler(step: s.Scheduler) -> str:
    times = f"{step.runtime}/{step.deadline}/{step.period} ns"
    return f"schedule by policy {step.policy}, priority {step.priority}, nice {step.nice}, {times}"


def _load_seccomp(step: s.LoadSeccomp) -> str:
    listener = " with a listener" if step.listener else ""
    return f"load a seccomp filter of {len(step.program) // 8} instructions{listener}"


def _numbers(values: tuple[int, ...]) -> str:
    return " ".join(map(str, values)) or "none"


def _offsets(step: s.TimeOffsets) -> str:
    words = (f"{clock} by {seconds}.{rest:09} s" for clock, seconds, rest in step.offsets)
    return f"shift clocks: {', '.join(words)}"


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
    s.Receive: lambda x: f"take over from the runtime: {x.what}",
    s.Lend: lambda x: f"lend to the runtime: {x.what}",
    s.WaitForStart: lambda x: "tell that it is created, wait for its start",
    s.Hook: _hook,
    s.ParentDeath: lambda x: f"die by signal {x.signal} when nestbox dies",
    s.Dumpable: lambda x: f"set dumpable to {x.value}",
    s.Keyring: lambda x: "join a new session keyring",
    s.Unshare: lambda x: f"enter new namespaces: {' '.join(x.namespaces)}",
    s.OpenNamespace: lambda x: f"open the {x.namespace} namespace {x.path}",
    s.JoinNamespaces: lambda x: "join the namespaces that are open",
    s.TimeOffsets: _offsets,
    s.Fork: lambda x: "go on as a child, in its own pid and time namespaces",
    s.Domainname: lambda x: f"set the domain name {x.name}",
    s.Hostname: lambda x: f"set the host name {x.name}",
    s.Loopback: lambda x: "bring up lo",
    s.Session: lambda x: "start a session without a terminal",
    s.Umask: lambda x: f"set umask {x.mask:04o}",
    s.Rlimit: lambda x: f"limit {x.name} to {_limit(x.soft)}, hard {_limit(x.hard)}",
    s.ProcWrite: lambda x: f"write {x.value!r} to /proc/{x.path}",
    s.Label: lambda x: f"write {x.value!r} to /proc/{x.path}",
    s.Propagation: lambda x: (
        f"make {'all mounts' if x.recursive else 'the mount of /'} {x.propagation}"
    ),
    s.OpenTree: _open_tree,
    s.NewFs: _new_fs,
    s.OldFs: lambda x: f"mount {x.source} as {x.fstype} ({_options(x.options)})",
    s.SetAttr: _set_attr,
    s.OldMounts: lambda _: "change mounts by mount(2), in the scratch file system",
    s.Attach: lambda x: f"attach it at {_inside(x.base, x.target)}",
    s.AttachRoot: lambda x: f"attach {_slot(x.slot)} over {x.path}",
    s.OpenTarget: lambda x: f"open the mount at {_inside(x.base, x.target)} as {_slot(x.slot)}",
    s.Reconfigure: lambda x: f"change options of {_slot(x.slot)} ({_options(x.options)})",
    s.CopyUp: lambda x: f"copy what is in {_inside(x.base, x.target)} to {_slot(x.slot)}",
    s.MountFuse: lambda x: f"mount fuse-overlayfs as {_slot(x.slot)}",
    s.CopyTree: lambda x: (
        f"copy {'the files of ' if x.shallow else ''}{x.source} to {x.target} of the root"
    ),
    s.PrivateParent: lambda x: f"make the mount that holds {x.path} private",
    s.Uncover: lambda x: f"{'cover' if x.cover else 'unmount'} the outer {x.path}",
    s.KeepSlot: lambda x: f"keep it as {_slot(x.target)}",
    s.OpenDirectory: lambda x: f"open {x.path} as {_slot(x.slot)}",
    s.MakeDirectory: lambda x: f"make directory {x.name} in {_slot(x.base)}",
    s.MakeFile: lambda x: f"make file {x.name} in {_slot(x.base)}",
    s.EnterDirectory: lambda x: f"enter {_slot(x.slot)}",
    s.Mask: lambda x: f"mask {_inside(x.base, x.path)}",
    s.ReadOnly: lambda x: f"make {_inside(x.base, x.path)} read-only",
    s.MakeDevice: _make_device,
    s.MakeLink: lambda x: f"link {_inside(x.base, x.name)} to {x.value}",
    s.MakeDirectories: lambda x: f"make directory {x.path} if it is missing",
    s.Pivot: lambda x: "pivot into the root, drop the outer tree",
    s.Chroot: lambda x: f"{'move the root over / and' if x.move else 'change the root: '} enter it",
    s.ChangeDirectory: _change_directory,
    s.Console: _console,
    s.OwnStreams: lambda x: f"give the standard streams to uid {x.uid}",
    s.Scheduler: _scheduler,
    s.IoPriority: lambda x: f"set the I/O priority {x.priority}",
    s.Affinity: lambda x: f"run on processors {_numbers(x.processors) if x.processors else 'all'}",
    s.MemoryPolicy: lambda x: f"take memory by policy {x.mode} from nodes {_numbers(x.nodes)}",
    s.Personality: lambda x: f"set the personality {x.value:#x}",
    s.DropBounding: lambda x: f"drop from bounding: {_names(x.mask)}",
    s.Ids: _ids,
    s.Capset: _capset,
    s.RaiseEffective: lambda x: "make permitted capabilities effective",
    s.Ambient: lambda x: f"set ambient capabilities: {_names(x.mask)}",
    s.NoNewPrivs: lambda x: "set no_new_privs",
    s.LoadSeccomp: _load_seccomp,
    s.Verify: lambda x: f"read the capability sets back: bounding {_names(x.bounding)}",
    s.Init: lambda x: "leave an init behind as PID 1",
    s.FindProgram: lambda x: f"look for {x.name} at {' or '.join(x.candidates)}",
    s.Preserve: lambda x: f"leave {x.count} descriptors of the caller to the program",
    s.Exec: _exec,
}
