"""The steps that build the container's file tree, in their order. Makes no choices."""

from __future__ import annotations

from collections.abc import Iterator

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
    SYNC_CGROUP,
    TARGET_MAKE,
    TARGET_NO_SYMLINKS,
    TARGET_ON_PROC,
    TARGET_OPTIONAL,
    Attach,
    AttachRoot,
    EnterDirectory,
    KeepSlot,
    MakeDevice,
    MakeDirectory,
    MakeFile,
    MakeLink,
    NewFs,
    OpenDirectory,
    OpenTree,
    ReadOnly,
    SetAttr,
    Step,
    Sync,
    Unshare,
)
from nestbox.policy.launch_spec import DeviceSpec, LaunchSpec, MountSpec, OverlayLayer

# A default mount lies where the kernel's own interface is expected, so no link may move it; a
# volume may follow links of the image, which cannot lead out of the root.
_OWN_TARGETS = frozenset(
    {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"}
)
_KEPT_SLOTS = {"/proc": SLOT_PROC, "/dev": SLOT_DEV, "/dev/pts": SLOT_PTS, "/sys": SLOT_SYS}
_NULL_DEVICE = (1, 3)  # Documentation/admin-guide/devices.txt


def scratch_steps(launch: LaunchSpec) -> Iterator[Step]:
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


def root_steps(launch: LaunchSpec) -> Iterator[Step]:
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


def place_of(mounts: tuple[MountSpec, ...], path: str) -> tuple[int, str]:
    """Return the slot that a path is resolved below once these mounts are made, and its rest.

    What lies in a mount of our own is reached by the descriptor of that mount: whoever can write
    to the root meanwhile could put another directory into the place where it is mounted, and what
    is masked there would be bare as soon as he puts the first one back (CVE-2025-31133).
    """
    for slot, top in SLOT_PLACES.items():
        if path.startswith(f"{top}/") and any(mount.target == top for mount in mounts):
            return slot, path.removeprefix(top)
    return SLOT_ROOT, path


def mount_steps(launch: LaunchSpec, *, wait_for_cgroup: bool) -> Iterator[Step]:
    in_cgroup = False
    for number, mount in enumerate(launch.mounts):
        if mount.fstype in {"cgroup", "cgroup2"} and not in_cgroup:
            # The root of a new cgroup namespace is the cgroup that its maker is in.
            yield from _enter_cgroup(launch, wait_for_cgroup)
            in_cgroup = True
        yield from _mount(mount, *place_of(launch.mounts[:number], mount.target))
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
    base, target = place_of(launch.mounts, device.target)
    yield Attach(slot=SLOT_NEW, target=target, how=TARGET_MAKE, mode=0o666, base=base)
