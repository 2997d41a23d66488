"""What of the present mount tree a container on the present root takes over, and how. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.derived import is_below, overmounts
from nestbox.policy.launch_spec import MountSpec, OverlayLayer
from nestbox.policy.paths import depth
from nestbox.policy.request import RootKind

if TYPE_CHECKING:
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


def take_over(mounts: tuple[Mount, ...], *, readonly: bool) -> HostTree:
    """Return layers and binds for the mounts below the present root, outer ones first.

    Each keeps the attributes that protect it outside. A directory becomes an overlay of its own
    where overlayfs takes its file system, else a read-only bind; a single file a read-only bind; a
    socket is left out, since it leads to a process outside.
    """
    layers: list[OverlayLayer] = []
    binds: list[MountSpec] = []
    weaker: dict[str, str] = {}
    omitted: list[str] = []
    real = tuple(mount for mount in overmounts(mounts, "/") if _is_real(mount))
    for mount in sorted(real, key=lambda mount: (depth(mount.target), mount.target)):
        if any(is_below(mount.target, bind.target) for bind in binds):
            continue  # it came along with the bind above it
        kind = _kind(mount)
        if kind == "directory" and _is_layered(mount.fstype):
            attributes = protections(mount, readonly=readonly)
            layers.append(
                OverlayLayer(lower=mount.target, target=mount.target, attributes=attributes)
            )
        elif kind in {"directory", "file"}:
            binds.append(_bind(mount, recursive=kind == "directory"))
            if kind == "directory":
                weaker[mount.target] = _why_no_layer(mount.fstype)
        else:
            omitted.append(mount.target)
    return HostTree(
        total=len(real),
        layers=tuple(layers),
        binds=tuple(binds),
        weaker=weaker,
        omitted=tuple(omitted),
    )


def empty_directories(
    request: RunRequest, own_directories: tuple[str, ...]
) -> tuple[MountSpec, ...]:
    """Return mounts that cover nestbox's own state in a container over the present root.

    What a nestbox saw there would be the containers of another one, with locks that are copies.
    """
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


def _is_real(mount: Mount) -> bool:
    if mount.target == "/" or mount.fstype in PSEUDO:
        return False
    return not any(is_below(mount.target, own) for own in OWN)


def _is_layered(fstype: str) -> bool:
    return fstype in _LAYERED or fstype.startswith("fuse.")


def _why_no_layer(fstype: str) -> str:
    if fstype in _CASELESS:
        return f"overlayfs takes no {fstype} as a lower layer, as its names ignore case"
    return f"overlayfs is not known to take {fstype} as a lower layer"


def _kind(mount: Mount) -> str:
    if mount.kind is not None:
        return mount.kind
    if mount.target.endswith(".sock"):
        return "socket"
    return "file" if mount.target in _FILES else "directory"


def _bind(mount: Mount, *, recursive: bool) -> MountSpec:
    attributes = dict.fromkeys(("ro", "nodev", *protections(mount)))
    return MountSpec(
        fstype="bind",
        source=mount.target,
        target=mount.target,
        attributes=tuple(attributes),
        recursive=recursive,
    )
