"""ExecSpec -> LaunchPlan: the order in which a process comes into a container that runs."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.plan.process import (
    SIGKILL,
    attribute_steps,
    is_labelled,
    program_steps,
    rights_steps,
    score_steps,
)
from nestbox.plan.start import early_steps, keyring_steps, maps_root
from nestbox.plan.steps import (
    SLOT_NONE,
    SLOT_OWN_PROC,
    SLOT_PTS,
    SLOT_ROOT,
    SYNC_CGROUP,
    SYNC_TERMINAL,
    Chroot,
    Console,
    Dumpable,
    FindProgram,
    Fork,
    Ids,
    JoinNamespaces,
    LaunchPlan,
    LoadSeccomp,
    NewFs,
    OpenDirectory,
    OpenNamespace,
    ParentDeath,
    Session,
    Step,
    Sync,
)
from nestbox.policy.launch_spec import ExecSpec, ProcessSpec


def compile_exec(
    spec: ExecSpec,
    *,
    seccomp: LoadSeccomp | None,
    last_capability: int,
    foreground: bool,
    wait_for_cgroup: bool,
) -> LaunchPlan:
    """Return the plan of one more process; the arguments are those of ``compile_plan``."""
    process = spec.process
    steps = (
        *_enter(spec, foreground, wait_for_cgroup),
        *_inside(spec),
        *attribute_steps(process),
        *rights_steps(
            process, spec.capabilities, spec.drop_bounding, seccomp, foreground=foreground
        ),
        # Told apart from a program that is there and cannot be executed.
        FindProgram(name=process.argv[0], candidates=process.candidates),
        *program_steps(process, spec.capabilities, seccomp, last_capability),
    )
    return LaunchPlan(namespaces=(), steps=steps, plain_clone=spec.plain_clone)


def _enter(spec: ExecSpec, foreground: bool, wait_for_cgroup: bool) -> Iterator[Step]:
    if any(join.namespace == "user" for join in spec.joined):
        yield from early_steps(spec.process)
    else:
        # While our files in /proc are still ours.
        yield from score_steps(spec.process, SLOT_NONE)
    # Before anyone in the container can see us, and for good (CVE-2016-9962).
    yield Dumpable(value=0)
    yield from _open(spec)
    joined = {join.namespace for join in spec.joined}
    if spec.new_keyring:
        # While /proc is the outer one, which is known.
        yield from keyring_steps(spec.process)
    if joined:
        yield JoinNamespaces()
    if "user" in joined and maps_root(spec.uid_map, spec.gid_map):
        yield Ids(uid=0, gid=0, groups=None if spec.process.groups is None else ())
    if "pid" in joined:
        yield Fork()
    if foreground:
        yield ParentDeath(signal=SIGKILL)
    if wait_for_cgroup:
        yield Sync(reason=SYNC_CGROUP)


def _open(spec: ExecSpec) -> Iterator[Step]:
    for join in spec.joined:
        yield OpenNamespace(namespace=join.namespace, path=join.path)
    if spec.root:
        # By its name outside, which another user namespace may have no right to follow.
        yield OpenDirectory(slot=SLOT_ROOT, path=spec.root)


def _inside(spec: ExecSpec) -> Iterator[Step]:
    process = spec.process
    if spec.root:
        # A container without a mount namespace has its root by chroot(2) alone.
        yield Chroot(move=False)
    if process.terminal:
        yield from _terminal(process)
    else:
        yield Session()
    if is_labelled(process):
        yield _proc(spec)


def _proc(spec: ExecSpec) -> Step:
    if spec.own_proc:
        return NewFs(
            slot=SLOT_OWN_PROC,
            fstype="proc",
            options=(("source", "proc"),),
            attributes=("nosuid", "nodev", "noexec"),
        )
    # The container's own one, which each write looks at once more.
    return OpenDirectory(slot=SLOT_OWN_PROC, path="/proc", system="proc")


def _terminal(process: ProcessSpec) -> Iterator[Step]:
    # Of the container's devpts, so that its number means something in there.
    yield OpenDirectory(slot=SLOT_PTS, path="/dev/pts", system="devpts")
    # Its /dev/console stays that of its first process.
    yield Console(target="", uid=process.uid, size=process.console_size)
    if process.console_size is None:
        yield Sync(reason=SYNC_TERMINAL)
