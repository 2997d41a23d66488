"""LaunchSpec -> LaunchPlan: the order of a launch, written once. Makes no choices.

The same values give the same plan, and the encoder gives the same bytes for it. Each comment below
says why a step stands where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.kernel.namespaces import FLAG
from nestbox.plan.steps import (
    SLOT_ROOT,
    SYNC_ID_MAPS,
    SYNC_TERMINAL,
    Ambient,
    Capset,
    ChangeDirectory,
    Console,
    DropBounding,
    Dumpable,
    Exec,
    Hostname,
    Ids,
    Init,
    Keyring,
    LaunchPlan,
    LoadSeccomp,
    Loopback,
    MakeDirectories,
    Mask,
    NoNewPrivs,
    ParentDeath,
    Pivot,
    ProcWrite,
    Propagation,
    RaiseEffective,
    ReadOnly,
    Rlimit,
    Session,
    SetAttr,
    Step,
    Sync,
    Umask,
    Verify,
)
from nestbox.plan.tree import mount_steps, place_of, root_steps, scratch_steps
from nestbox.policy.launch_spec import LaunchSpec

_SIGKILL = 9  # signal(7)


def compile_plan(
    launch: LaunchSpec,
    *,
    seccomp: LoadSeccomp | None,
    last_capability: int,
    foreground: bool,
    wait_for_cgroup: bool,
) -> LaunchPlan:
    """Return the plan of a launch.

    ``seccomp`` loads the compiled form of ``launch.seccomp``; ``foreground`` containers die
    with the process that launched them; ``wait_for_cgroup`` is true when the runtime moves the
    container into its cgroup after it was started (v1), rather than starting it there (v2).
    """
    steps = (
        *_before_mounts(launch, foreground),
        *scratch_steps(launch),
        *root_steps(launch),
        *mount_steps(launch, wait_for_cgroup=wait_for_cgroup),
        *_inside(launch),
        *_enter_root(launch),
        *_rights(launch, seccomp, foreground),
        *_program(launch, last_capability),
    )
    at_clone = tuple(name for name in FLAG if name in launch.namespaces and name != "cgroup")
    return LaunchPlan(namespaces=at_clone, steps=steps)


def _before_mounts(launch: LaunchSpec, foreground: bool) -> Iterator[Step]:
    if "user" in launch.namespaces:
        # Without maps the executor has no ids, and nothing it makes would belong to anyone.
        yield Sync(reason=SYNC_ID_MAPS)
        yield Ids(uid=0, gid=0, groups=None if launch.process.groups is None else ())
    # After the maps: /proc/PID/uid_map of a process that is not dumpable belongs to root.
    yield Dumpable(value=0)
    if foreground:
        yield ParentDeath(signal=_SIGKILL)
    if launch.new_keyring:
        yield Keyring()
    # Before the first mount, which would otherwise appear in the outer namespace too.
    yield Propagation(propagation="slave")


def _inside(launch: LaunchSpec) -> Iterator[Step]:
    if launch.process.terminal:
        base, target = place_of(launch.mounts, "/dev/console")
        yield Console(target=target, uid=launch.process.uid, base=base)
        # A program asks for the size as soon as it runs, and is told of later changes alone.
        yield Sync(reason=SYNC_TERMINAL)
    else:
        yield Session()
    if launch.hostname is not None and "uts" in launch.namespaces:
        yield Hostname(name=launch.hostname)
    if launch.loopback:
        yield Loopback()
    # Before the proc mount is covered and made read-only.
    for name, value in launch.sysctls:
        yield ProcWrite(path=f"sys/{name}", value=value)
    if launch.process.oom_score_adj is not None:
        yield ProcWrite(path="self/oom_score_adj", value=str(launch.process.oom_score_adj))
    for path in launch.masked_paths:
        base, inner = place_of(launch.mounts, path)
        yield Mask(path=inner, base=base)
    for path in launch.readonly_paths:
        base, inner = place_of(launch.mounts, path)
        yield ReadOnly(path=inner, base=base)
    yield MakeDirectories(path=launch.process.working_directory, mode=0o755)
    if launch.root.readonly:
        # Last: until here targets of mounts may have to be made.
        yield SetAttr(slot=SLOT_ROOT, attributes=("ro",))


def _enter_root(launch: LaunchSpec) -> Iterator[Step]:
    yield Pivot()
    # With all rights still, as a directory may be closed to the user who works in it.
    yield ChangeDirectory(path=launch.process.working_directory)
    yield Umask(mask=launch.process.umask)
    for name, limit in launch.process.rlimits:
        yield Rlimit(name=name, soft=limit.soft, hard=limit.hard)


def _rights(launch: LaunchSpec, seccomp: LoadSeccomp | None, foreground: bool) -> Iterator[Step]:
    process = launch.process
    # Needs CAP_SETPCAP, which a change of user id takes away.
    if launch.drop_bounding:
        yield DropBounding(mask=launch.drop_bounding)
    yield Ids(uid=process.uid, gid=process.gid, groups=process.groups)
    if foreground and (process.uid, process.gid) != (0, 0):
        # A change of the user or group id clears it; see prctl(2), PR_SET_PDEATHSIG.
        yield ParentDeath(signal=_SIGKILL)
    if seccomp is not None and not process.no_new_privs:
        # Loading needs CAP_SYS_ADMIN here, so the capabilities go after it and not before.
        if process.uid != 0:
            yield RaiseEffective()
        yield seccomp
    sets = launch.capabilities
    yield Capset(effective=sets.effective, permitted=sets.permitted, inheritable=sets.inheritable)
    yield Ambient(mask=sets.ambient)
    if process.no_new_privs:
        yield NoNewPrivs()
        if seccomp is not None:
            # Last, so that a strict filter need not allow what the launch itself calls.
            yield seccomp


def _program(launch: LaunchSpec, last_capability: int) -> Iterator[Step]:
    if launch.process.init:
        yield Init()
    sets = launch.capabilities
    yield Verify(
        inheritable=sets.inheritable,
        permitted=sets.permitted,
        effective=sets.effective,
        bounding=sets.bounding,
        ambient=sets.ambient,
        last=last_capability,
    )
    yield Exec(
        argv=launch.process.argv,
        environment=launch.process.environment,
        candidates=launch.process.candidates,
    )
