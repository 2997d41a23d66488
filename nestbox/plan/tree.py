"""The steps that make the container's root, in their order. Makes no choices."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.plan.steps import (
    SLOT_NEW,
    SLOT_NULL,
    SLOT_ROOT,
    SLOT_SCRATCH,
    SLOT_UPPER,
    TARGET_MAKE,
    TARGET_NO_SYMLINKS,
    Attach,
    AttachRoot,
    CopyTree,
    EnterDirectory,
    KeepSlot,
    MakeDevice,
    MakeDirectory,
    MakeFile,
    MountFuse,
    NewFs,
    OpenDirectory,
    OpenTarget,
    OpenTree,
    PrivateParent,
    ReadOnly,
    SetAttr,
    Step,
)
from nestbox.policy.launch_spec import CopySpec, LaunchSpec, MountSpec, OverlayLayer, RootSpec
from nestbox.policy.paths import depth

_NULL_DEVICE = (1, 3)  # Documentation/admin-guide/devices.txt


def is_shared(root: RootSpec) -> bool:
    """Whether mounts in the outer tree of this namespace appear in others too."""
    return root.outer_propagation.removeprefix("r") == "shared"


def lies_in_place(launch: LaunchSpec) -> bool:
    """Whether the root is attached over its own directory and not over /.

    Hooks look for it there, and what is attached to a shared / would cover that of others.
    """
    joins = "mnt" not in launch.namespaces and any(x.namespace == "mnt" for x in launch.joined)
    hooks = launch.runtime_hooks or bool(launch.create_hooks)
    whole = not launch.root.layers and not launch.root.base
    return whole and (hooks or joins or is_shared(launch.root))


def root_steps(launch: LaunchSpec) -> Iterator[Step]:
    """The root over a scratch file system, and that over / or the root's own directory."""
    root = launch.root
    if root.entry == "chroot":
        # In the mounts of others, where it stays when the container is gone: one mount, so that
        # whoever takes it away takes away all that was mounted in it.
        yield OpenTree(slot=SLOT_ROOT, path=root.directory, recursive=True)
        yield AttachRoot(slot=SLOT_ROOT, path=root.directory)
        return
    if lies_in_place(launch):
        yield PrivateParent(path=root.directory)
        # Before the scratch file system covers it.
        yield OpenTree(slot=SLOT_ROOT, path=root.directory, recursive=True)
        yield from scratch_steps(launch, root.directory)
        yield from _change_directory(root)
        yield AttachRoot(slot=SLOT_ROOT, path=root.directory)
    else:
        yield from scratch_steps(launch, "/")
        if root.layers:
            # Upper layers are named relative to their directory: nothing has to be escaped.
            yield EnterDirectory(slot=SLOT_UPPER)
        yield from _base(launch)
        yield AttachRoot(slot=SLOT_ROOT)
    for path in root.readonly_below:
        # While nothing of the container's own is mounted below them.
        yield ReadOnly(path=path)
    yield from _pieces(launch)


def _pieces(launch: LaunchSpec) -> Iterator[Step]:
    """What lies in the root beside its base: copies and further overlays, outer ones first."""
    root = launch.root
    layers = enumerate(root.layers)
    pieces = [
        *((copy.target, _copy(root, copy)) for copy in root.copies),
        *((bind.target, _bind(bind)) for bind in root.binds),
        *((x.target, _layer(launch, x, number)) for number, x in layers if x.target != "/"),
    ]
    for _, steps in sorted(pieces, key=lambda piece: depth(piece[0])):
        yield from steps


def _copy(root: RootSpec, copy: CopySpec) -> Iterator[Step]:
    yield CopyTree(
        source=copy.source,
        target=copy.target,
        shallow=copy.shallow,
        lenient=root.lenient,
        plain=copy.plain,
        limit=copy.limit,
    )


def _bind(bind: MountSpec) -> Iterator[Step]:
    # It lies in a root that may be somebody else's, and was looked at some time ago.
    yield OpenTree(slot=SLOT_NEW, path=bind.source, recursive=bind.recursive, straight=True)
    yield SetAttr(
        slot=SLOT_NEW,
        attributes=bind.attributes,
        propagation=bind.propagation,
        recursive=bind.recursive,
    )
    yield Attach(slot=SLOT_NEW, target=bind.target, how=TARGET_MAKE)


def _layer(launch: LaunchSpec, layer: OverlayLayer, number: int) -> Iterator[Step]:
    yield from _overlay(launch, layer, number, SLOT_NEW)
    yield Attach(slot=SLOT_NEW, target=layer.target, how=TARGET_MAKE)


def _base(launch: LaunchSpec) -> Iterator[Step]:
    """The root itself, before anything is in it that does not belong to its file system."""
    root = launch.root
    if root.base == "fuse":
        yield MountFuse(slot=SLOT_ROOT, attributes=_attributes(root))
    elif root.base == "tmpfs" or (root.base == "copy" and root.upper is None):
        yield NewFs(
            slot=SLOT_ROOT,
            fstype="tmpfs",
            options=(("source", "nestbox"), ("mode", "0755")),
            attributes=_attributes(root),
        )
    elif root.base == "copy":
        yield MakeDirectory(base=SLOT_UPPER, name="root", mode=0o755)
        yield OpenTree(slot=SLOT_ROOT, path="root", base=SLOT_UPPER)
        # What the mount of our own directory takes away says nothing of the root.
        cleared = ("nosuid", "noexec") if root.executable else ()
        yield SetAttr(
            slot=SLOT_ROOT, attributes=_attributes(root), cleared=cleared, propagation="private"
        )
    elif root.layers:
        yield from _overlay(launch, root.layers[0], 0, SLOT_ROOT)
    else:
        yield OpenTree(slot=SLOT_ROOT, path=root.directory, recursive=True)
        yield from _change_directory(root)


def _attributes(root: RootSpec) -> tuple[str, ...]:
    return (*(("nodev",) if root.nodev else ()), *(("nosuid",) if root.nosuid else ()))


def _change_directory(root: RootSpec) -> Iterator[Step]:
    # What is mounted in the outer tree reaches the container where it is asked for, else not.
    propagation = "slave" if root.propagation.endswith("slave") else "private"
    yield SetAttr(
        slot=SLOT_ROOT, attributes=_attributes(root), propagation=propagation, recursive=True
    )
    if root.executable:
        yield SetAttr(slot=SLOT_ROOT, cleared=("noexec",))


def scratch_steps(launch: LaunchSpec, path: str) -> Iterator[Step]:
    """A tmpfs under the root, reachable by nobody: it lends its files and directories."""
    yield NewFs(
        slot=SLOT_SCRATCH,
        fstype="tmpfs",
        options=(("source", "nestbox"), ("mode", "0755")),
        attributes=("nosuid",) if _has_devices(launch) else ("nosuid", "nodev"),
    )
    yield AttachRoot(slot=SLOT_SCRATCH, path=path)
    yield MakeDirectory(base=SLOT_SCRATCH, name="empty", mode=0o555)
    if launch.root.layers and launch.root.upper is None:
        yield KeepSlot(source=SLOT_SCRATCH, target=SLOT_UPPER)
    elif launch.root.upper is not None:
        yield OpenDirectory(slot=SLOT_UPPER, path=launch.root.upper)
    for number, (_, text) in enumerate(launch.files):
        yield MakeFile(base=SLOT_SCRATCH, name=f"file{number}", text=text, mode=0o644)
    if launch.masked_paths:
        yield from _null_device(launch)


def _has_devices(launch: LaunchSpec) -> bool:
    lent = any(one.lent for one in launch.devices)
    return lent or (_makes_null(launch) and bool(launch.masked_paths))


def _makes_null(launch: LaunchSpec) -> bool:
    return any(one.target == "/dev/null" and one.source is None for one in launch.devices)


def _null_device(launch: LaunchSpec) -> Iterator[Step]:
    """The null device, to cover files with: one that is made where those of the container are."""
    major, minor = _NULL_DEVICE
    if _makes_null(launch):
        yield MakeDevice(
            name="covering-null", kind="c", major=major, minor=minor, mode=0o666, uid=0, gid=0,
            base=SLOT_SCRATCH,
        )  # fmt: skip
        yield OpenTarget(
            slot=SLOT_NULL, target="covering-null", how=TARGET_NO_SYMLINKS, base=SLOT_SCRATCH
        )
        return
    yield OpenTree(slot=SLOT_NULL, path="/dev/null", kind="c", major=major, minor=minor)
    # Before Linux 6.15 only what is attached can be copied, as each mask does with it.
    yield MakeFile(base=SLOT_SCRATCH, name="null", text="", mode=0o444)
    yield Attach(slot=SLOT_NULL, target="null", how=0, base=SLOT_SCRATCH)


def _overlay(launch: LaunchSpec, layer: OverlayLayer, number: int, slot: int) -> Iterator[Step]:
    # Its owner and mode are those that the overlay shows. A root is open to all of the container.
    like = "" if layer.target == "/" else layer.lower
    yield MakeDirectory(
        base=SLOT_UPPER, name=f"upper{number}", mode=0o755, like=like, lenient=launch.root.lenient
    )
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
        attributes=tuple(dict.fromkeys((*_attributes(launch.root), *layer.attributes))),
    )
