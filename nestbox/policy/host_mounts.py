"""What of the present mount tree a container on the present root takes over, and how. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.derived import is_below, overmounts
from nestbox.policy.launch_spec import MountSpec, OverlayLayer
from nestbox.policy.paths import depth

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.outer.facts import Mount
    from nestbox.policy.request import RunRequest

# The container gets its own of these, with everything below.
OWN: Final = ("/proc", "/sys", "/dev")

# File systems that show the kernel's state and hold no files of a user.
PSEUDO: Final = frozenset(
    {
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
        "devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore",
        "resctrl", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs",
    }
)  # fmt: skip

# File systems that overlayfs takes as a lower layer.
_LAYERED: Final = frozenset(
    {
        "9p", "bcachefs", "btrfs", "ceph", "erofs", "ext2", "ext3", "ext4", "f2fs", "fuseblk",
        "iso9660", "nfs", "nfs4", "overlay", "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs",
        "udf", "virtiofs", "xfs", "zfs",
    }
)  # fmt: skip

# Those that it refuses: names that differ by case alone are one file to them.
# Source: fs/overlayfs/util.c ovl_dentry_weird, DCACHE_OP_HASH and DCACHE_OP_COMPARE.
_CASELESS: Final = frozenset(
    {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "hfs", "hfsplus", "affs", "cifs", "smb3"}
)

_LAYER_BYTES: Final = 255

_KEPT: Final = ("ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime")

# Engines mount these as single files; only for a recording that does not say what is one.
_FILES: Final = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv"})


class HostTree(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of each visible mount below the present root.

    ``weaker`` names directories that can only be had read-only, each with the reason; ``omitted``
    what is left out because it is a way out of the sandbox.
    """

    total: int
    layers: tuple[OverlayLayer, ...]
    binds: tuple[MountSpec, ...]
    weaker: dict[str, str]
    omitted: tuple[str, ...]


def take_over(
    mounts: tuple[Mount, ...],
    *,
    readonly: bool,
    directory: str = "/",
    takes_overlay: Callable[[Mount], bool] | None = None,
    listed: frozenset[str] = frozenset(),
) -> HostTree:
    """Return layers and binds for the mounts below a root, the present one by default, outer first.

    Each keeps the attributes that protect it outside. A directory becomes an overlay of its own
    where overlayfs takes its file system, else a read-only bind; a single file a read-only bind; a
    socket is left out, since it leads to a process outside. ``takes_overlay`` tells that of a
    mount better than its type does, and ``listed`` are paths that are made in another way.
    """
    layers: list[OverlayLayer] = []
    binds: list[MountSpec] = []
    weaker: dict[str, str] = {}
    omitted: list[str] = []
    real = mounts_inside(mounts, directory)
    for mount, target in real:
        if target in listed or any(is_below(target, bind.target) for bind in binds):
            continue  # the latter came along with the bind above it
        kind = _kind(mount)
        if kind == "directory" and is_short(mount.target) and _takes(mount, takes_overlay):
            attributes = protections(mount, readonly=readonly)
            layers.append(OverlayLayer(lower=mount.target, target=target, attributes=attributes))
        elif kind in {"directory", "file"}:
            binds.append(_bind(mount, target, recursive=kind == "directory"))
            if kind == "directory" and "ro" not in protections(mount, readonly=readonly):
                weaker[target] = why_no_layer(mount)
        else:
            omitted.append(target)
    return HostTree(
        total=len(real),
        layers=tuple(layers),
        binds=tuple(binds),
        weaker=weaker,
        omitted=tuple(omitted),
    )


def shown_by_fuse(mounts: tuple[Mount, ...], *, readonly: bool) -> HostTree:
    """Return what keeps the attributes of mounts that fuse-overlayfs shows as one tree.

    A socket in it leads nowhere, as it is another inode than the one that a process listens on.
    """
    binds: list[MountSpec] = []
    real = mounts_inside(mounts, "/")
    for mount, target in real:
        attributes = protections(mount, readonly=readonly)
        if attributes and _kind(mount) in {"directory", "file"}:
            binds.append(
                MountSpec(
                    fstype="bind",
                    source=target,
                    target=target,
                    attributes=tuple(dict.fromkeys(("nodev", *attributes))),
                    from_root=True,
                )
            )
    return HostTree(total=len(real), layers=(), binds=tuple(binds), weaker={}, omitted=())


def mounts_inside(mounts: tuple[Mount, ...], directory: str) -> tuple[tuple[Mount, str], ...]:
    """Return the mounts below a root that hold files, with their paths inside it, outer ones first.

    Those of /proc, /sys and /dev are not among them: a container has its own.
    """
    prefix = directory.rstrip("/")
    inside = [
        (mount, mount.target.removeprefix(prefix))
        for mount in overmounts(mounts, directory)
        if mount.fstype not in PSEUDO
    ]
    real = [pair for pair in inside if not any(is_below(pair[1], own) for own in OWN)]
    return tuple(sorted(real, key=lambda pair: (depth(pair[1]), pair[1])))


def _takes(mount: Mount, takes_overlay: Callable[[Mount], bool] | None) -> bool:
    return is_layered(mount.fstype) if takes_overlay is None else takes_overlay(mount)


def empty_directories(
    request: RunRequest, own_directories: tuple[str, ...]
) -> tuple[MountSpec, ...]:
    """Return mounts that cover nestbox's own state in a container over the present root.

    What a nestbox saw there would be the containers of another one, with locks that are copies.
    """
    from nestbox.policy.request import RootKind

    if request.root.kind is not RootKind.HOST:
        return ()
    return tuple(
        MountSpec(
            fstype="tmpfs",
            source="tmpfs",
            target=directory,
            attributes=("nosuid", "nodev"),
            options=(("mode", "0700"),),
        )
        for directory in own_directories
    )


def protections(mount: Mount, *, readonly: bool = False) -> tuple[str, ...]:
    """Return the attributes of the mount that take something away from who uses it."""
    options = {*mount.options}
    if readonly or "ro" in mount.super_options:
        options.add("ro")
    return tuple(name for name in _KEPT if name in options)


def is_layered(fstype: str) -> bool:
    """Return whether overlayfs takes a file system of this type as a lower layer."""
    return fstype in _LAYERED or fstype.startswith("fuse.")


def is_short(path: str) -> bool:
    """Return whether the path of a layer fits into what fsconfig(2) takes: 255 bytes.

    Source: fs/fsopen.c, FSCONFIG_SET_STRING. Colons and backslashes are escaped in it.
    """
    escaped = path.encode(errors="surrogateescape")
    return len(escaped) + escaped.count(b":") + escaped.count(b"\\") <= _LAYER_BYTES


def why_no_layer(mount: Mount | None) -> str:
    """Return in words why overlayfs does not take the file system of a mount."""
    fstype = mount.fstype if mount else "what is there"
    if fstype in _CASELESS:
        return f"overlayfs takes no {fstype} as a lower layer, as its names ignore case"
    if fstype == "overlay":
        # Source: include/linux/fs.h, FILESYSTEM_MAX_STACK_DEPTH.
        return "it is an overlay over an overlay, and the kernel stacks no more than two"
    if is_layered(fstype):
        return "no overlay can be made here"
    return f"overlayfs is not known to take {fstype} as a lower layer"


def _kind(mount: Mount) -> str:
    if mount.kind is not None:
        return mount.kind
    if mount.target.endswith(".sock"):
        return "socket"
    return "file" if mount.target in _FILES else "directory"


def _bind(mount: Mount, target: str, *, recursive: bool) -> MountSpec:
    attributes = dict.fromkeys(("ro", "nodev", *protections(mount)))
    return MountSpec(
        fstype="bind",
        source=mount.target,
        target=target,
        attributes=tuple(attributes),
        recursive=recursive,
    )
