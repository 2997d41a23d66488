"""LaunchSpec -> LaunchPlan: the order of a launch, written once. Makes no choices.

The same values give the same plan, and the encoder gives the same bytes for it. Each comment below
says why a step stands where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.plan.devices import device_steps
from nestbox.plan.mounts import mount_steps, remount_steps
from nestbox.plan.places import attached_at, place_of
from nestbox.plan.process import (
    SIGKILL,
    attribute_steps,
    hook_step,
    is_labelled,
    needs_proc,
    program_steps,
    rights_steps,
    score_steps,
)
from nestbox.plan.start import changes_user, keyring_steps, made_at_clone, namespace_steps
from nestbox.plan.steps import (
    SLOT_NONE,
    SLOT_OWN_PROC,
    SLOT_PROC,
    SLOT_PTS,
    SLOT_ROOT,
    SYNC_NETWORK,
    SYNC_NETWORK_DEVICES,
    SYNC_RUNTIME_HOOKS,
    SYNC_TERMINAL,
    TARGET_NO_SYMLINKS,
    Chroot,
    Console,
    Domainname,
    EnterDirectory,
    FindProgram,
    Hostname,
    KeepSlot,
    LaunchPlan,
    LoadSeccomp,
    Loopback,
    MakeDirectories,
    Mask,
    NewFs,
    OldMounts,
    OpenDirectory,
    OpenTarget,
    ParentDeath,
    Pivot,
    ProcWrite,
    Propagation,
    ReadOnly,
    Session,
    SetAttr,
    Step,
    Sync,
    Uncover,
    WaitForStart,
)
from nestbox.plan.tree import is_shared, lies_in_place, root_steps
from nestbox.policy.launch_spec import LaunchSpec


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
    process = launch.process
    steps = (
        *_before_mounts(launch, foreground),
        *root_steps(launch),
        *mount_steps(launch, wait_for_cgroup=wait_for_cgroup),
        *device_steps(launch),
        *_hooks(launch),
        *_inside(launch),
        *_enter_root(launch),
        *attribute_steps(process),
        *rights_steps(
            process, launch.capabilities, launch.drop_bounding, seccomp, foreground=foreground
        ),
        *_start(launch),
        *program_steps(process, launch.capabilities, seccomp, last_capability, launch.start_hooks),
    )
    return LaunchPlan(namespaces=made_at_clone(launch), steps=steps, plain_clone=launch.plain_clone)


def _before_mounts(launch: LaunchSpec, foreground: bool) -> Iterator[Step]:
    if launch.old_mounts:
        yield OldMounts()
    yield from namespace_steps(launch)
    if foreground:
        yield ParentDeath(signal=SIGKILL)
    if launch.new_keyring:
        yield from keyring_steps(launch.process)
    if launch.network_devices:
        # Before anything that runs may look for them.
        yield Sync(reason=SYNC_NETWORK_DEVICES)
    if _changes_outer_mounts(launch):
        # Before the first mount, which would otherwise appear in the outer namespace too.
        yield Propagation(propagation=launch.root.outer_propagation.removeprefix("r"))
    yield from _open_proc(launch)


def _changes_outer_mounts(launch: LaunchSpec) -> bool:
    """Whether the mounts that are there already are those of a namespace of our own."""
    joins = any(join.namespace == "mnt" for join in launch.joined)
    return launch.root.entry != "chroot" and ("mnt" in launch.namespaces or not joins)


def _open_proc(launch: LaunchSpec) -> Iterator[Step]:
    """A way to the kernel's files past everything that lies in the root."""
    if launch.own_proc and (launch.sysctls or needs_proc(launch.process)):
        yield NewFs(
            slot=SLOT_OWN_PROC,
            fstype="proc",
            options=(("source", "proc"),),
            attributes=("nosuid", "nodev", "noexec"),
        )
    elif is_labelled(launch.process) and _proc_slot(launch) == SLOT_NONE:
        # While there is a /proc; labels are written when that of the outer tree is gone.
        yield OpenDirectory(slot=SLOT_OWN_PROC, path="/proc", system="proc")


def _proc_slot(launch: LaunchSpec) -> int:
    """The proc mount through which the kernel is told; without any it is the outer /proc."""
    if launch.own_proc:
        return SLOT_OWN_PROC
    return SLOT_PROC if attached_at(launch.mounts, "/proc") else SLOT_NONE


def _hooks(launch: LaunchSpec) -> Iterator[Step]:
    """What the configuration runs when everything is mounted and the old root is still there."""
    if launch.runtime_hooks or launch.create_hooks:
        yield Sync(reason=SYNC_RUNTIME_HOOKS)
    if launch.create_hooks:
        # A hook finds the root as its working directory, and the outer tree by its paths.
        yield EnterDirectory(slot=SLOT_ROOT)
    for hook in launch.create_hooks:
        yield hook_step("createContainer", hook)


def _inside(launch: LaunchSpec) -> Iterator[Step]:
    if launch.process.terminal:
        yield from _terminal(launch)
    else:
        yield Session()
    yield from _names(launch)
    if launch.loopback:
        yield Loopback()
    if launch.network is not None:
        # Before the sysctls, some of which are of each interface that is there.
        yield Sync(reason=SYNC_NETWORK)
    # Before the proc mount is covered and made read-only.
    proc = _proc_slot(launch)
    for name, value in launch.sysctls:
        yield ProcWrite(path=f"sys/{name}", value=value, base=proc)
    if not changes_user(launch):
        yield from score_steps(launch.process, proc)
    for path in dict.fromkeys(launch.masked_paths):
        base, inner = place_of(launch.mounts, path)
        yield Mask(path=inner, base=base)
    for path in dict.fromkeys(launch.readonly_paths):
        base, inner = place_of(launch.mounts, path)
        yield ReadOnly(path=inner, base=base)
    yield MakeDirectories(path=launch.process.working_directory, mode=0o755)
    # Last: until here targets of mounts may have to be made.
    yield from remount_steps(launch)
    if launch.root.readonly:
        yield SetAttr(slot=SLOT_ROOT, attributes=("ro",), attached=True)


def _names(launch: LaunchSpec) -> Iterator[Step]:
    """Yield the steps that name the container, where that does not name the outer machine."""
    if not ("uts" in launch.namespaces or any(x.namespace == "uts" for x in launch.joined)):
        return
    if launch.hostname is not None:
        yield Hostname(name=launch.hostname)
    if launch.domainname is not None:
        yield Domainname(name=launch.domainname)


def _terminal(launch: LaunchSpec) -> Iterator[Step]:
    size = launch.process.console_size
    base, target = place_of(launch.mounts, "/dev/console")
    if not attached_at(launch.mounts, "/dev/pts"):
        # It came along with a /dev from outside, or is in the root.
        pts_base, pts = place_of(launch.mounts, "/dev/pts")
        yield OpenTarget(slot=SLOT_PTS, target=pts, how=TARGET_NO_SYMLINKS, base=pts_base)
    yield Console(target=target, uid=launch.process.uid, base=base, size=size)
    if size is None:
        # A program asks for the size as soon as it runs, and is told of later changes alone.
        yield Sync(reason=SYNC_TERMINAL)


def _enter_root(launch: LaunchSpec) -> Iterator[Step]:
    if is_labelled(launch.process) and _proc_slot(launch) == SLOT_PROC:
        # All other descriptors end at the pivot.
        yield KeepSlot(source=SLOT_PROC, target=SLOT_OWN_PROC)
    if launch.root.entry == "move":
        for path in launch.root.uncovered:
            yield Uncover(path=path, cover=is_shared(launch.root))
    if launch.root.entry == "pivot":
        yield Pivot()
    else:
        # Over / it lies already, unless hooks had to find it at its own place.
        yield Chroot(move=launch.root.entry == "move" and lies_in_place(launch))
    if launch.root.propagation:
        # Of the container's own /, which is known by that name from here on.
        yield Propagation(
            propagation=launch.root.propagation.removeprefix("r"),
            recursive=launch.root.propagation.startswith("r"),
        )


def _start(launch: LaunchSpec) -> Iterator[Step]:
    if not launch.wait_for_start:
        return
    if launch.process.argv:
        # A program that is not there is an error of `create`, as with runc.
        yield FindProgram(name=launch.process.argv[0], candidates=launch.process.candidates)
    # With all rights given up: a created container may wait for long.
    yield WaitForStart()
