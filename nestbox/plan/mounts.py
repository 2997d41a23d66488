"""The steps that mount what a container is given below its root. Makes no choices."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.plan.devices import early_device_steps
from nestbox.plan.places import is_mount, place_of
from nestbox.plan.steps import (
    SLOT_DEV,
    SLOT_NEW,
    SLOT_NONE,
    SLOT_PROC,
    SLOT_PTS,
    SLOT_ROOT,
    SLOT_SCRATCH,
    SLOT_SYS,
    SYNC_CGROUP,
    SYNC_LEAF,
    TARGET_MAKE,
    TARGET_NO_SYMLINKS,
    TARGET_ON_PROC,
    TARGET_OPTIONAL,
    Attach,
    CopyUp,
    KeepSlot,
    Lend,
    MakeLink,
    NewFs,
    OldFs,
    OpenTarget,
    OpenTree,
    Receive,
    Reconfigure,
    SetAttr,
    Step,
    Sync,
    Unshare,
)
from nestbox.policy.launch_spec import LaunchSpec, MountSpec

# A default mount lies where the kernel's own interface is expected, so no link may move it; a
# volume may follow links of the image, which cannot lead out of the root.
_OWN_TARGETS = frozenset(
    {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"}
)
_KEPT_SLOTS = {"/proc": SLOT_PROC, "/dev": SLOT_DEV, "/dev/pts": SLOT_PTS, "/sys": SLOT_SYS}
_DIRECTORY_MODE = 0o755
_LONGEST = 255  # bytes of a value; see FSCONFIG_SET_STRING in fs/fsopen.c
_SUPER_FLAGS = frozenset({"ro", "sync", "dirsync", "mand", "lazytime"})


def mount_steps(launch: LaunchSpec, *, wait_for_cgroup: bool) -> Iterator[Step]:
    """All mounts in their order, the devices of a /dev with it, and the files made for them."""
    in_cgroup = False
    for number, mount in enumerate(launch.mounts):
        if mount.fstype in {"cgroup", "cgroup2"} and not in_cgroup:
            # The root of a new cgroup namespace is the cgroup that its maker is in.
            yield from _enter_cgroup(launch, wait_for_cgroup)
            in_cgroup = True
        yield from _mount(mount, *place_of(launch.mounts[:number], mount.target))
        if mount.target == "/dev" and is_mount(mount) and mount.fstype != "bind":
            # Before volumes, which may lie over a device. A /dev from outside has its own.
            yield from early_device_steps(launch)
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
        if any(spec.divide for spec in launch.cgroups):
            # Its namespace begins above the leaf.
            yield Sync(reason=SYNC_LEAF)


def remount_steps(launch: LaunchSpec) -> Iterator[Step]:
    """What becomes read-only when everything has been made in it."""
    for mount in launch.mounts:
        if mount.target == "/dev" and _is_closed_later(mount):
            yield SetAttr(slot=SLOT_DEV, attributes=("ro",), attached=True)
    for mount in launch.final_mounts:
        yield from _mount(mount, *place_of(launch.mounts, mount.target))


def _is_closed_later(mount: MountSpec) -> bool:
    """Whether something is made in a read-only file system of ours before it is read-only."""
    made_in = mount.target == "/dev" or mount.copy_up
    return is_mount(mount) and mount.fstype != "bind" and made_in and "ro" in mount.attributes


def _mount(mount: MountSpec, base: int, target: str) -> Iterator[Step]:
    if mount.fstype == "link":
        yield MakeLink(name=target, value=mount.source, base=base, how=TARGET_MAKE)
        return
    if mount.fstype == "remount":
        yield from _remount(mount, base, target)
        return
    if not mount.from_root and (mount.handed_over or mount.id_mapping is not None):
        yield from _handed_over(mount)
        yield from _change(mount)
    elif mount.fstype == "bind":
        yield from _source(mount)
        yield from _change(mount)
    else:
        yield from _new(mount, base, target)
    mode = _DIRECTORY_MODE if mount.mode is None else mount.mode
    yield Attach(slot=SLOT_NEW, target=target, how=_how(mount), mode=mode, base=base)
    if mount.target in _KEPT_SLOTS:
        yield KeepSlot(source=SLOT_NEW, target=_KEPT_SLOTS[mount.target])


def _handed_over(mount: MountSpec) -> Iterator[Step]:
    """A copy of what the runtime finds in our own mount namespace, with the right to go there.

    It is copied here, where what is locked in it for a user namespace stays locked.
    """
    yield Receive(slot=SLOT_NEW, what=f"mount {mount.target}")
    yield OpenTree(slot=SLOT_NEW, path="", base=SLOT_NEW, recursive=mount.recursive)
    if mount.id_mapping is not None:
        yield Lend(slot=SLOT_NEW, what=f"mount {mount.target}")


def _source(mount: MountSpec) -> Iterator[Step]:
    """A copy of what is bound; inside the root, no link of it leads out."""
    if mount.from_root:
        yield OpenTarget(slot=SLOT_NEW, target=mount.source, how=0, base=SLOT_ROOT)
        yield OpenTree(slot=SLOT_NEW, path="", base=SLOT_NEW, recursive=mount.recursive)
        if mount.id_mapping is not None:
            yield Lend(slot=SLOT_NEW, what=f"mount {mount.target}")
    else:
        yield OpenTree(slot=SLOT_NEW, path=mount.source, recursive=mount.recursive)


def _how(mount: MountSpec) -> int:
    how = TARGET_MAKE
    if mount.target in _OWN_TARGETS and not mount.follow_links:
        how |= TARGET_NO_SYMLINKS
    if mount.target == "/proc" or mount.on_proc:
        # A directory root may hold a proc mount of its own, which is covered.
        how |= TARGET_ON_PROC
    if mount.optional:
        how |= TARGET_OPTIONAL
    return how


def _change(mount: MountSpec) -> Iterator[Step]:
    """The attributes of a copied tree, while nobody can see it."""
    whole = mount.recursive and mount.recursive_attributes
    apart = mount.recursive_propagation and not whole
    yield SetAttr(
        slot=SLOT_NEW,
        attributes=mount.attributes,
        cleared=mount.cleared,
        propagation="" if apart else mount.propagation,
        recursive=whole,
    )
    if apart:
        yield SetAttr(slot=SLOT_NEW, propagation=mount.propagation, recursive=True)
    yield from _change_below(mount)


def _change_below(mount: MountSpec, *, attached: bool = False) -> Iterator[Step]:
    if mount.attributes_below or mount.cleared_below:
        yield SetAttr(
            slot=SLOT_NEW,
            attributes=mount.attributes_below,
            cleared=mount.cleared_below,
            recursive=True,
            attached=attached,
        )


def _new(mount: MountSpec, base: int, target: str) -> Iterator[Step]:
    later = _is_closed_later(mount)
    attributes = tuple(x for x in mount.attributes if x != "ro" or not later)
    options = mount.options
    if mount.label:
        options = (*options, ("context", mount.label))
    if any(len(value.encode(errors="surrogateescape")) > _LONGEST for _, value in options):
        yield from _old(mount, options, attributes)
    else:
        options = (("source", mount.source or mount.fstype), *options)
        yield NewFs(
            slot=SLOT_NEW,
            fstype=mount.fstype,
            options=options,
            attributes=attributes,
            mode_of=target if mount.inherit_mode else "",
            base=base if mount.inherit_mode else SLOT_NONE,
        )
    if mount.copy_up:
        yield CopyUp(slot=SLOT_NEW, target=target, base=base)
    if later and mount.target != "/dev":
        yield SetAttr(slot=SLOT_NEW, attributes=("ro",))
    if mount.propagation not in {"", "private"}:
        yield SetAttr(slot=SLOT_NEW, propagation=mount.propagation)
    yield from _change_below(mount)


def _old(
    mount: MountSpec, options: tuple[tuple[str, str], ...], attributes: tuple[str, ...]
) -> Iterator[Step]:
    flags = tuple(key for key, value in options if key in _SUPER_FLAGS and not value)
    yield OldFs(
        slot=SLOT_NEW,
        fstype=mount.fstype,
        source=mount.source or mount.fstype,
        options=tuple(pair for pair in options if pair[0] not in flags),
        flags=flags,
    )
    yield SetAttr(slot=SLOT_NEW, attributes=attributes, propagation="private")


def _remount(mount: MountSpec, base: int, target: str) -> Iterator[Step]:
    how = TARGET_NO_SYMLINKS if mount.target in _OWN_TARGETS and not mount.follow_links else 0
    yield OpenTarget(slot=SLOT_NEW, target=target, how=how, base=base)
    if mount.options:
        yield Reconfigure(slot=SLOT_NEW, options=mount.options)
    yield SetAttr(
        slot=SLOT_NEW,
        attributes=mount.attributes,
        cleared=mount.cleared,
        propagation=mount.propagation,
        recursive=mount.recursive,
        attached=True,
    )
    yield from _change_below(mount, attached=True)
