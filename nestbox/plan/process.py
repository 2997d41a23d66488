"""The steps of a process that are the same for a container's first one and for later ones."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.outer.facts import CapabilitySets
from nestbox.plan.steps import (
    CHDIR_IF_ALLOWED,
    CHDIR_NOW,
    CHDIR_POSTPONED,
    SLOT_PROC,
    Affinity,
    Ambient,
    Capset,
    ChangeDirectory,
    DropBounding,
    Exec,
    Hook,
    Ids,
    Init,
    IoPriority,
    Label,
    LoadSeccomp,
    MemoryPolicy,
    NoNewPrivs,
    OwnStreams,
    ParentDeath,
    Personality,
    Preserve,
    ProcWrite,
    RaiseEffective,
    Rlimit,
    Scheduler,
    Step,
    Umask,
    Verify,
)
from nestbox.policy.launch_spec import HookSpec, ProcessSpec

SIGKILL = 9  # signal(7)


def needs_proc(process: ProcessSpec) -> bool:
    """Whether something of the process is told to the kernel through a proc file."""
    return bool(process.apparmor or process.selinux or process.oom_score_adj is not None)


def is_labelled(process: ProcessSpec) -> bool:
    """Whether a security module is told what the program will be."""
    return bool(process.apparmor or process.selinux)


def score_steps(process: ProcessSpec, base: int = SLOT_PROC) -> Iterator[Step]:
    """What the kernel thinks of the process when memory is short."""
    if process.oom_score_adj is not None:
        yield ProcWrite(path="self/oom_score_adj", value=str(process.oom_score_adj), base=base)


def attribute_steps(process: ProcessSpec) -> Iterator[Step]:
    """The working directory and the limits, with all rights still."""
    # A directory may be closed to the user who works in it, or open to nobody else.
    when = CHDIR_IF_ALLOWED if process.uid else CHDIR_NOW
    yield ChangeDirectory(path=process.working_directory, when=when)
    yield Umask(mask=process.umask)
    for name, limit in process.rlimits:
        yield Rlimit(name=name, soft=limit.soft, hard=limit.hard)
    yield from _scheduling(process)
    if process.own_streams:
        yield OwnStreams(uid=process.uid)


def _scheduling(process: ProcessSpec) -> Iterator[Step]:
    # In its cgroup, which says on which processors and nodes it may be.
    if process.affinity is not None:
        yield Affinity(processors=process.affinity)
    if process.memory_policy is not None:
        yield MemoryPolicy(mode=process.memory_policy.mode, nodes=process.memory_policy.nodes)
    if process.io_priority is not None:
        yield IoPriority(priority=process.io_priority)
    if process.scheduler is not None:
        given = process.scheduler
        yield Scheduler(
            policy=given.policy,
            flags=given.flags,
            nice=given.nice,
            priority=given.priority,
            runtime=given.runtime,
            deadline=given.deadline,
            period=given.period,
        )
    if process.personality is not None:
        yield Personality(value=process.personality)


def rights_steps(
    process: ProcessSpec,
    sets: CapabilitySets,
    drop_bounding: int,
    seccomp: LoadSeccomp | None,
    *,
    foreground: bool,
) -> Iterator[Step]:
    """What is given up, in its order."""
    # Needs CAP_SETPCAP, which a change of user id takes away.
    if drop_bounding:
        yield DropBounding(mask=drop_bounding)
    yield Ids(uid=process.uid, gid=process.gid, groups=process.groups)
    if process.uid:
        yield ChangeDirectory(path=process.working_directory, when=CHDIR_POSTPONED)
    if foreground and (process.uid, process.gid) != (0, 0):
        # A change of the user or group id clears it; see prctl(2), PR_SET_PDEATHSIG.
        yield ParentDeath(signal=SIGKILL)
    # Before any filter, which need not know how a label is written.
    yield from _labels(process)
    if seccomp is not None and not process.no_new_privs:
        # Loading needs CAP_SYS_ADMIN here, so the capabilities go after it and not before.
        if process.uid != 0:
            yield RaiseEffective()
        yield seccomp
    yield Capset(effective=sets.effective, permitted=sets.permitted, inheritable=sets.inheritable)
    yield Ambient(mask=sets.ambient)
    if process.no_new_privs:
        yield NoNewPrivs()
        if seccomp is not None and seccomp.listener:
            # Its listener is for whoever creates the container, and not for who starts it.
            yield seccomp


def _labels(process: ProcessSpec) -> Iterator[Step]:
    if process.apparmor:
        yield Label(
            path="self/attr/apparmor/exec",
            alternative="self/attr/exec",
            value=f"exec {process.apparmor}",
        )
    if process.selinux:
        yield Label(path="self/attr/exec", value=process.selinux)


def program_steps(
    process: ProcessSpec,
    sets: CapabilitySets,
    seccomp: LoadSeccomp | None,
    last_capability: int,
    hooks: tuple[HookSpec, ...] = (),
) -> Iterator[Step]:
    """The last steps: nothing but these hooks is executed between the sets and the program."""
    late = seccomp is not None and process.no_new_privs and not seccomp.listener
    early = process.init or bool(hooks)
    if late and early:
        # Init and hooks are held by the filter as well.
        yield from _filter(seccomp)
    for hook in hooks:
        yield hook_step("startContainer", hook)
    if process.init:
        yield Init()
    if process.preserved:
        # Over the descriptors of all that was opened before.
        yield Preserve(count=process.preserved)
    yield Verify(
        inheritable=sets.inheritable,
        permitted=sets.permitted,
        effective=sets.effective,
        bounding=sets.bounding,
        ambient=sets.ambient,
        last=last_capability,
    )
    if late and not early:
        # Last, so that a strict filter need not allow what the launch itself calls.
        yield from _filter(seccomp)
    yield Exec(argv=process.argv, environment=process.environment, candidates=process.candidates)


def _filter(seccomp: LoadSeccomp | None) -> Iterator[Step]:
    if seccomp is not None:
        yield seccomp


def hook_step(kind: str, hook: HookSpec) -> Hook:
    """Return the step that runs a hook."""
    return Hook(
        kind=kind,
        path=hook.path,
        argv=hook.argv,
        environment=hook.environment,
        timeout_seconds=hook.timeout_seconds,
    )
