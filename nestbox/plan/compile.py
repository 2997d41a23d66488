"""LaunchSpec -> LaunchPlan: the order of a launch, written once. Makes no choices.

The same values give the same plan, and the encoder gives the same bytes for it. Each comment below
says why a step stands where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.kernel.namespaces import FLAG
from nestbox.plan.steps import (
    SLOT_DEV,
    SLOT_NEW,
    SLOT_NULL,
    SLOT_PLACES,
    SLOT_PROC,
    SLOT_PTS,
    SLOT_ROOT,
    SLOT_SCRATCH,
    SLOT_SYS,
    SLOT_UPPER,
    TARGET_MAKE,
    TARGET_NO_SYMLINKS,
    TARGET_ON_PROC,
    TARGET_OPTIONAL,
    Ambient,
    Attach,
    AttachRoot,
    Capset,
    ChangeDirectory,
    Console,
    DropBounding,
    Dumpable,
    EnterDirectory,
    Exec,
    Hostname,
    Ids,
    Init,
    KeepSlot,
    Keyring,
    LaunchPlan,
    LoadSeccomp,
    Loopback,
    MakeDevice,
    MakeDirectories,
    MakeDirectory,
    MakeFile,
    MakeLink,
    Mask,
    NewFs,
    NoNewPrivs,
    OpenDirectory,
    OpenTree,
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
    Unshare,
    Verify,
)
from nestbox.policy.launch_spec import DeviceSpec, LaunchSpec, MountSpec, OverlayLayer

# A default mount lies where the kernel's own interface is expected, so no link may move it; a
# volume may follow links of the image, which cannot lead out of the root.
_OWN_TARGETS = frozenset(
    {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"}
)
_KEPT_SLOTS = {"/proc": SLOT_PROC, "/dev": SLOT_DEV, "/dev/pts": SLOT_PTS, "/sys": SLOT_SYS}
_NULL_DEVICE = (1, 3)  # Documentation/admin-guide/devices.txt

_SIGKILL = 9  # signal(7)

SYNC_ID_MAPS = "id maps"
SYNC_CGROUP = "cgroup"
SYNC_TERMINAL = "terminal size"


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
        *_scratch(launch),
        *_root(launch),
        *_mounts(launch, wait_for_cgroup),
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


def _scratch(launch: LaunchSpec) -> Iterator[Step]:
    """A tmpfs under the root, reachable by nobody: it lends its files and directories."""
    yield NewFs(
        slot=SLOT_SCRATCH,
        fstype="tmpfs",
        options=(("source", "nestbox"), ("mode", "0755")),
        attributes=("nosuid", "nodev"),
    )
    yield AttachRoot(slot=SLOT_SCRATCH)
    yield MakeDirectory(base=SLOT_SCRATCH, name="empty", mode=0o555)
    if launch.root.layers and launch.root.upper is None:
        yield KeepSlot(source=SLOT_SCRATCH, target=SLOT_UPPER)
    elif launch.root.upper is not None:
        yield OpenDirectory(slot=SLOT_UPPER, path=launch.root.upper)
    for number, (_, text) in enumerate(launch.files):
        yield MakeFile(base=SLOT_SCRATCH, name=f"file{number}", text=text, mode=0o644)
    major, minor = _NULL_DEVICE
    yield OpenTree(slot=SLOT_NULL, path="/dev/null", kind="c", major=major, minor=minor)
    # Before Linux 6.15 only what is attached can be copied, as each mask does with it.
    yield MakeFile(base=SLOT_SCRATCH, name="null", text="", mode=0o444)
    yield Attach(slot=SLOT_NULL, target="null", how=0, base=SLOT_SCRATCH)


def _root(launch: LaunchSpec) -> Iterator[Step]:
    root = launch.root
    attributes = (
        *(("nodev",) if root.nodev else ()),
        *(("nosuid",) if root.nosuid else ()),
    )
    if root.layers:
        # Upper layers are named relative to their directory, so that nothing has to be escaped.
        yield EnterDirectory(slot=SLOT_UPPER)
        yield from _overlay(launch, root.layers[0], 0, SLOT_ROOT, attributes)
    else:
        yield OpenTree(slot=SLOT_ROOT, path=root.directory, recursive=True)
        yield SetAttr(slot=SLOT_ROOT, attributes=attributes, propagation="private", recursive=True)
    yield AttachRoot(slot=SLOT_ROOT)
    for path in root.readonly_below:
        # While nothing of the container's own is mounted below them.
        yield ReadOnly(path=path)
    for number, layer in enumerate(root.layers[1:], start=1):
        yield from _overlay(launch, layer, number, SLOT_NEW, attributes)
        yield Attach(slot=SLOT_NEW, target=layer.target, how=TARGET_MAKE)


def _overlay(
    launch: LaunchSpec, layer: OverlayLayer, number: int, slot: int, attributes: tuple[str, ...]
) -> Iterator[Step]:
    yield MakeDirectory(base=SLOT_UPPER, name=f"upper{number}", mode=0o755)
    yield MakeDirectory(base=SLOT_UPPER, name=f"work{number}", mode=0o700)
    lower = layer.lower.replace("\\", "\\\\").replace(":", "\\:")
    yield NewFs(
        slot=slot,
        fstype="overlay",
        options=(
            ("source", "nestbox"),
            ("lowerdir", lower),
            ("upperdir", f"upper{number}"),
            ("workdir", f"work{number}"),
            # What is written is thrown away: syncing it to the disk is of no use.
            ("volatile", ""),
            *((("userxattr", ""),) if launch.root.user_namespace_options else ()),
        ),
        attributes=tuple(dict.fromkeys((*attributes, *layer.attributes))),
    )


def _place(mounts: tuple[MountSpec, ...], path: str) -> tuple[int, str]:
    """Return the slot that a path is resolved below once these mounts are made, and its rest.

    What lies in a mount of our own is reached by the descriptor of that mount: whoever can write
    to the root meanwhile could put another directory into the place where it is mounted, and what
    is masked there would be bare as soon as he puts the first one back (CVE-2025-31133).
    """
    for slot, top in SLOT_PLACES.items():
        if path.startswith(f"{top}/") and any(mount.target == top for mount in mounts):
            return slot, path.removeprefix(top)
    return SLOT_ROOT, path


def _mounts(launch: LaunchSpec, wait_for_cgroup: bool) -> Iterator[Step]:
    in_cgroup = False
    for number, mount in enumerate(launch.mounts):
        if mount.fstype in {"cgroup", "cgroup2"} and not in_cgroup:
            # The root of a new cgroup namespace is the cgroup that its maker is in.
            yield from _enter_cgroup(launch, wait_for_cgroup)
            in_cgroup = True
        yield from _mount(mount, *_place(launch.mounts[:number], mount.target))
        if mount.target == "/dev" and mount.fstype != "bind":
            # Before volumes, which may lie over a device. A /dev from outside has its own.
            yield from _devices(launch)
    if not in_cgroup:
        yield from _enter_cgroup(launch, wait_for_cgroup)
    for number, (target, _) in enumerate(launch.files):
        yield OpenTree(slot=SLOT_NEW, path=f"file{number}", base=SLOT_SCRATCH)
        yield Attach(slot=SLOT_NEW, target=target, how=TARGET_MAKE, mode=0o644)


def _enter_cgroup(launch: LaunchSpec, wait_for_cgroup: bool) -> Iterator[Step]:
    if wait_for_cgroup:
        yield Sync(reason=SYNC_CGROUP)
    if "cgroup" in launch.namespaces:
        yield Unshare(namespaces=("cgroup",))


def _mount(mount: MountSpec, base: int, target: str) -> Iterator[Step]:
    if mount.fstype == "bind":
        yield OpenTree(slot=SLOT_NEW, path=mount.source, recursive=mount.recursive)
        yield SetAttr(
            slot=SLOT_NEW,
            attributes=mount.attributes,
            cleared=mount.cleared,
            propagation=mount.propagation,
            recursive=mount.recursive,
        )
    else:
        options = (("source", mount.source or mount.fstype), *mount.options)
        yield NewFs(
            slot=SLOT_NEW, fstype=mount.fstype, options=options, attributes=mount.attributes
        )
    how = TARGET_MAKE
    if mount.target in _OWN_TARGETS:
        how |= TARGET_NO_SYMLINKS
    if mount.target == "/proc":
        # A directory root may hold a proc mount of its own, which is covered.
        how |= TARGET_ON_PROC
    if mount.optional:
        how |= TARGET_OPTIONAL
    yield Attach(slot=SLOT_NEW, target=target, how=how, base=base)
    if mount.target in _KEPT_SLOTS:
        yield KeepSlot(source=SLOT_NEW, target=_KEPT_SLOTS[mount.target])


def _devices(launch: LaunchSpec) -> Iterator[Step]:
    for device in launch.devices:
        yield from _device(launch, device)
    for target, value in launch.device_links:
        yield MakeLink(name=target.removeprefix("/dev/"), value=value)


def _device(launch: LaunchSpec, device: DeviceSpec) -> Iterator[Step]:
    name = device.target.removeprefix("/dev/")
    if device.source is None and "/" not in name:
        yield MakeDevice(
            name=name,
            kind=device.kind,
            major=device.major,
            minor=device.minor,
            mode=device.mode,
            uid=device.uid,
            gid=device.gid,
        )
        return
    yield OpenTree(
        slot=SLOT_NEW,
        path=device.source or device.target,
        kind=device.kind,
        major=device.major,
        minor=device.minor,
    )
    # Read-only, since the inode is the outer one: a device can be written all the same, but its
    # owner and mode cannot be changed.
    yield SetAttr(slot=SLOT_NEW, attributes=("ro", "nosuid", "noexec"), propagation="private")
    base, target = _place(launch.mounts, device.target)
    yield Attach(slot=SLOT_NEW, target=target, how=TARGET_MAKE, mode=0o666, base=base)


def _inside(launch: LaunchSpec) -> Iterator[Step]:
    if launch.process.terminal:
        base, target = _place(launch.mounts, "/dev/console")
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
        base, inner = _place(launch.mounts, path)
        yield Mask(path=inner, base=base)
    for path in launch.readonly_paths:
        base, inner = _place(launch.mounts, path)
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
