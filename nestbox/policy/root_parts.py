"""A root that is made of parts, where no one overlay can be made over all of it. Pure.

Overlayfs refuses a directory with locked mounts below it, which in a new user namespace all mounts
are, and a file system that is an overlay over an overlay. So directories that lie above a mount are
made anew on a tmpfs, with copies of their files; what has no mount below it is an overlay of its
own where one can be made, else a copy where it is small, else a read-only bind.
Sources: fs/namespace.c clone_private_mount; include/linux/fs.h FILESYSTEM_MAX_STACK_DEPTH.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.derived import is_below, mount_at
from nestbox.policy.host_mounts import OWN, is_layered, is_short, protections, why_no_layer
from nestbox.policy.launch_spec import CopySpec, MountSpec, OverlayLayer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nestbox.outer.facts import Mount, TreeDirectory, TreeEntry

MIB: Final = 1 << 20
PART_LIMIT_BYTES: Final = 16 * MIB  # of one directory that is copied as a whole
PART_LIMIT_ENTRIES: Final = 2048
TOTAL_LIMIT_BYTES: Final = 64 * MIB  # of all that is copied
FILE_LIMIT_BYTES: Final = MIB  # of a file beside a mount
_BINDS_LIMIT: Final = 32  # of single files in one directory


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts are made from: the root, the mounts, and over which no overlay can be made."""

    directory: str  # the root's, "/" for the present one
    mounts: tuple[Mount, ...]
    tree: tuple[TreeDirectory, ...]
    full: frozenset[str]  # targets of mounts
    overlays: bool  # whether the kernel makes any here
    readonly: bool

    def outside(self, path: str) -> str:
        """Return where a path of the root lies outside."""
        return self.directory.rstrip("/") + path if path != "/" else self.directory

    def takes_overlay(self, mount: Mount | None) -> bool:
        """Return whether an overlay can be made over directories of a mount."""
        if not self.overlays or mount is None:
            return self.overlays
        return mount.target not in self.full and is_layered(mount.fstype)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a root consists of beside its base and the mounts below it."""

    copies: tuple[CopySpec, ...] = ()
    layers: tuple[OverlayLayer, ...] = ()
    binds: tuple[MountSpec, ...] = ()
    weaker: dict[str, str] = {}  # what can only be read, with the reason
    copied_bytes: int = 0


def make_parts(ground: Ground) -> Parts:
    """Return what becomes of all that lies beside the mounts below a root."""
    return _Maker(ground).make()


class _Maker:
    """The parts as far as they are known."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._listed = {one.path for one in ground.tree}
        self._targets = {mount.target for mount in ground.mounts}
        self._copies: list[CopySpec] = []
        self._layers: list[OverlayLayer] = []
        self._binds: list[MountSpec] = []
        self._weaker: dict[str, str] = {}
        self._left = TOTAL_LIMIT_BYTES

    def make(self) -> Parts:
        leaves: list[tuple[str, TreeEntry]] = []
        for directory in self._ground.tree:
            if self._is_bound(directory.path) or not self._add_files(directory):
                continue
            prefix = directory.path.rstrip("/")
            leaves += [
                (f"{prefix}/{entry.name}", entry)
                for entry in directory.entries or ()
                if entry.kind == "directory" and self._is_leaf(f"{prefix}/{entry.name}")
            ]
        for path, entry in sorted(leaves, key=_size_and_path):
            self._add_directory(path, entry)
        return Parts(
            copies=tuple(self._copies),
            layers=tuple(sorted(self._layers, key=lambda layer: layer.target)),
            binds=tuple(self._binds),
            weaker=self._weaker,
            copied_bytes=TOTAL_LIMIT_BYTES - self._left,
        )

    def _is_bound(self, path: str) -> bool:
        """Whether a directory above comes with all that is in it."""
        return any(is_below(path, bind.target) for bind in self._binds)

    def _is_leaf(self, path: str) -> bool:
        """Whether a directory is a part of its own: it has no parts, and is no mount."""
        if path in self._listed or any(is_below(path, own) for own in OWN):
            return False
        return self._ground.outside(path) not in self._targets

    def _mount(self, path: str) -> Mount | None:
        return mount_at(self._ground.mounts, self._ground.outside(path))

    def _protections(self, path: str) -> tuple[str, ...]:
        mount = self._mount(path)
        return protections(mount, readonly=self._ground.readonly) if mount else ()

    def _copy(self, path: str, *, shallow: bool, limit: int = 0) -> CopySpec:
        return CopySpec(
            source=self._ground.outside(path),
            target=path,
            shallow=shallow,
            plain="nosuid" in self._protections(path),
            limit=limit,
        )

    def _add_files(self, directory: TreeDirectory) -> bool:
        """Copy the files of a directory, or bind larger ones; false: bind all that is in it."""
        prefix = directory.path.rstrip("/")
        sizes = {
            f"{prefix}/{entry.name}": entry.size or 0
            for entry in directory.entries or ()
            if entry.kind == "file"
            and self._ground.outside(f"{prefix}/{entry.name}") not in self._targets
        }
        limit = max(_limit_of(sizes.values(), min(PART_LIMIT_BYTES, self._left)), 1)
        larger = [path for path, size in sizes.items() if size > limit]
        if len(larger) > _BINDS_LIMIT and directory.path != "/":
            self._binds.append(self._bind(directory.path))
            self._weaker[directory.path] = "its files are too large to be copied"
            return False
        self._left -= sum(size for size in sizes.values() if size <= limit)
        self._copies.append(self._copy(directory.path, shallow=True, limit=limit))
        self._binds += [self._bind(path) for path in larger]
        return True

    def _add_directory(self, path: str, entry: TreeEntry) -> None:
        mount = self._mount(path)
        if self._ground.takes_overlay(mount) and is_short(self._ground.outside(path)):
            self._layers.append(
                OverlayLayer(
                    lower=self._ground.outside(path),
                    target=path,
                    attributes=self._protections(path),
                )
            )
        elif mount is not None and "ro" in protections(mount):
            self._binds.append(self._bind(path))  # it can only be read outside too
        elif entry.size is not None and entry.size <= self._left:
            self._left -= entry.size
            self._copies.append(self._copy(path, shallow=False))
        else:
            self._binds.append(self._bind(path))
            self._weaker[path] = why_no_layer(mount)

    def _bind(self, path: str) -> MountSpec:
        return MountSpec(
            fstype="bind",
            source=self._ground.outside(path),
            target=path,
            attributes=tuple(dict.fromkeys(("ro", "nodev", *self._protections(path)))),
            recursive=True,  # what is mounted in it may be locked there
        )


def _limit_of(sizes: Iterable[int], total: int) -> int:
    """Return the size up to which all files together are no more than the total."""
    limit = 0
    for size in sorted(sizes):
        total -= size
        if size > FILE_LIMIT_BYTES or total < 0:
            break
        limit = size
    return limit


def _size_and_path(leaf: tuple[str, TreeEntry]) -> tuple[int, str]:
    """Return the rank of a directory: small ones first, so that most of all is copied."""
    path, entry = leaf
    return (TOTAL_LIMIT_BYTES if entry.size is None else entry.size), path
