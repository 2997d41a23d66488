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
    Attach,
    AttachRoot,
    EnterDirectory,
    KeepSlot,
    MakeDirectory,
    MakeFile,
    NewFs,
    OpenDirectory,
    OpenTree,
    PrivateParent,
    ReadOnly,
    SetAttr,
    Step,
)
from nestbox.policy.launch_spec import LaunchSpec, OverlayLayer, RootSpec

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
    return not launch.root.layers and (hooks or joins or is_shared(launch.root))


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
        yield from _copy_of_directory(root)
        yield from scratch_steps(launch, root.directory)
        yield AttachRoot(slot=SLOT_ROOT, path=root.directory)
    else:
        yield from scratch_steps(launch, "/")
        if root.layers:
            # Upper layers are named relative to their directory: nothing has to be escaped.
            yield EnterDirectory(slot=SLOT_UPPER)
            yield from _overlay(launch, root.layers[0], 0, SLOT_ROOT)
        else:
            yield from _copy_of_directory(root)
        yield AttachRoot(slot=SLOT_ROOT)
    for path in root.readonly_below:
        # While nothing of the container's own is mounted below them.
        yield ReadOnly(path=path)
    for number, layer in enumerate(root.layers[1:], start=1):
        yield from _overlay(launch, layer, number, SLOT_NEW)
        yield Attach(slot=SLOT_NEW, target=layer.target, how=TARGET_MAKE)


def _attributes(root: RootSpec) -> tuple[str, ...]:
    return (*(("nodev",) if root.nodev else ()), *(("nosuid",) if root.nosuid else ()))


def _copy_of_directory(root: RootSpec) -> Iterator[Step]:
    yield OpenTree(slot=SLOT_ROOT, path=root.directory, recursive=True)
    # What is mounted in the outer tree reaches the container where it is asked for, else not.
    propagation = "slave" if root.propagation.endswith("slave") else "private"
    yield SetAttr(
        slot=SLOT_ROOT, attributes=_attributes(root), propagation=propagation, recursive=True
    )


def scratch_steps(launch: LaunchSpec, path: str) -> Iterator[Step]:
    """A tmpfs under the root, reachable by nobody: it lends its files and directories."""
    yield NewFs(
        slot=SLOT_SCRATCH,
        fstype="tmpfs",
        options=(("source", "nestbox"), ("mode", "0755")),
        attributes=("nosuid", "nodev"),
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
        yield from _null_device()


def _null_device() -> Iterator[Step]:
    major, minor = _NULL_DEVICE
    yield OpenTree(slot=SLOT_NULL, path="/dev/null", kind="c", major=major, minor=minor)
    # Before Linux 6.15 only what is attached can be copied, as each mask does with it.
    yield MakeFile(base=SLOT_SCRATCH, name="null", text="", mode=0o444)
    yield Attach(slot=SLOT_NULL, target="null", how=0, base=SLOT_SCRATCH)


def _overlay(launch: LaunchSpec, layer: OverlayLayer, number: int, slot: int) -> Iterator[Step]:
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
        attributes=tuple(dict.fromkeys((*_attributes(launch.root), *layer.attributes))),
    )
