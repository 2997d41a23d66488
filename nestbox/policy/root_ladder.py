"""What a root whose changes are thrown away is made of: the rungs, best first. Pure.

One overlay, its upper layer on a disk or a tmpfs - an overlay for each directory that has no locked
mount below it - fuse-overlayfs - a copy - for the present root: copies of what is small, the rest
read-only - refuse. A mode that is asked for by name pins a rung.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.derived import mount_at, overmounts
from nestbox.policy.host_mounts import is_short, mounts_inside, protections
from nestbox.policy.request import RootKind, RootMode
from nestbox.policy.root_parts import MIB
from nestbox.policy.root_place import Place

if TYPE_CHECKING:
    from nestbox.outer.facts import Mount

COPY_LIMIT_BYTES: Final = 256 * MIB  # of a copy that nobody asked for by name
COPY_LIMIT_ENTRIES: Final = 1 << 14
MEMORY_NOTE: Final = "what is written there uses memory"
_OPENED: Final = ("/", "/tmp", "/var/tmp")  # however large, they can be written to
_SPARE: Final = 16  # of the free space, this part stays free


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """How the root is made, or with an empty ``kind`` why it cannot be."""

    kind: str = ""  # overlay, overlays, fuse, copy, mixed
    upper: str | None = None  # the directory for what is written; None: a tmpfs
    chosen: str = ""
    cause: str = ""
    remedy: str = ""


def find_rung(place: Place) -> Rung:
    """Return the best rung that there is, or why there is none."""
    if place.mode is RootMode.FUSE:
        return _fuse(place)
    if place.mode is RootMode.COPY:
        return _copy(place)
    why: list[str] = []
    for attempt in (_overlay, _overlays, _fuse, _small_copy, _mixed):
        rung = attempt(place)
        if rung.kind:
            return _explained(rung, why)
        if rung.cause:
            why.append(rung.cause)
    return Rung(
        cause="; ".join(why),
        remedy="use --rootfs DIR:copy, or run nestbox where overlay or fuse-overlayfs works"
        if place.kind is RootKind.DIRECTORY
        else "use --rootfs host:copy, or --rootfs DIR with a root of its own",
    )


def wants_size(place: Place) -> int:
    """Return the bytes up to which the root has to be counted, as it may be copied; else 0."""
    free = place.storage.free_bytes or 0
    most = free - free // _SPARE
    if place.mode is RootMode.COPY:
        return most
    unasked = find_rung(place).kind in {"", "mixed"}
    return min(COPY_LIMIT_BYTES, most) if unasked and place.mode is not RootMode.FUSE else 0


def wants_parts(place: Place) -> tuple[frozenset[str], frozenset[str]]:
    """Return which directories of the root have to be known, and which of them counted.

    Those above mounts where the root is made of parts, and those on which no overlay can be made.
    What is directly in /var is a part of its own: the top of a layer belongs to who made it, and
    nobody can write to another directory of an owner without an id here, such as /var/tmp.
    """
    kind = find_rung(place).kind
    if kind in {"", "fuse"} or (kind in {"overlay", "copy"} and not place.full):
        return frozenset(), frozenset()
    directory = place.root.directory
    inside = mounts_inside(place.mounts, directory)
    counted = {
        path
        for mount, path in inside
        # What can only be read is bound as it is.
        if mount.target in place.full and "ro" not in protections(mount)
    }
    above: set[str] = set()
    if kind == "overlays":
        above = {"/var", *(path.rpartition("/")[0] or "/" for _, path in inside)}
    if kind == "mixed":
        counted.update(_OPENED)
    return frozenset(above), frozenset(counted)


def _explained(rung: Rung, why: list[str]) -> Rung:
    cause = "; ".join(filter(None, (*why, rung.cause)))
    return msgspec.structs.replace(rung, cause=cause)


def _where(place: Place) -> tuple[str, str]:
    """Return in words where the upper layer is, and the price of that."""
    storage = place.storage
    others = "what belongs to ids that are not mapped can be read but not changed"
    if place.separation.new_user_namespace:
        if place.upper is not None:
            return f"upper layer in {place.upper}", others
        return "upper layer on a tmpfs", f"{_no_disk(place)}; {others}; {MEMORY_NOTE}"
    if place.upper is not None:
        return f"upper layer in {place.upper}", ""
    return (
        "upper layer on a tmpfs",
        f"an upper layer in {storage.state_directory} ({storage.state_fstype}) gave "
        f"{storage.overlay.error}; {MEMORY_NOTE}",
    )


def _no_disk(place: Place) -> str:
    """Return why the upper layer of a new user namespace is not in the state directory."""
    storage, trial = place.storage, place.storage.overlay_user_state
    if place.separation.own_ids and trial is not None and not trial.works:
        return f"an upper layer in {storage.state_directory} gave {trial.error}"
    return "files of other ids than ours could not be removed from a disk"


def _name(place: Place) -> str:
    return "overlay in the user namespace" if place.separation.new_user_namespace else "overlay"


def _root_mount(place: Place) -> Mount | None:
    return mount_at(place.mounts, place.root.directory)


def _overlay(place: Place) -> Rung:
    """One overlay over the root: no mount below it is locked, and it is none over another one."""
    if place.kind is RootKind.HOST:
        works = place.single.works
    else:
        locked = bool(overmounts(place.mounts, place.root.directory)) and not place.single.works
        works = not locked and place.takes_overlay(_root_mount(place))
    if works and not is_short(place.root.directory):
        return Rung(cause=f"the path {place.root.directory} is too long for a layer of an overlay")
    if not works:
        return Rung()
    where, note = _where(place)
    return Rung(kind="overlay", upper=place.upper, chosen=f"{_name(place)}, {where}", cause=note)


def _overlays(place: Place) -> Rung:
    """An overlay for each directory, beside the mounts that are locked."""
    if not place.overlays.works:
        how = " in a new user namespace" if place.separation.new_user_namespace else ""
        return Rung(cause=f"an overlay{how} was tried and gave {place.overlays.error}")
    mount = _root_mount(place)
    if not place.takes_overlay(mount):
        why = "is an overlay over an overlay, and the kernel stacks no more than two"
        if mount is not None and mount.target not in place.full:
            why = f"is a file system of type {mount.fstype}, which overlayfs does not take"
        return Rung(cause=f"{place.root.directory} {why}")
    where, note = _where(place)
    locked = "the mounts below it are locked"
    return Rung(
        kind="overlays",
        upper=place.upper,
        chosen=f"{_name(place)} for each directory without a mount below it, {where}",
        cause="; ".join(filter(None, (locked, note))),
    )


def _fuse(place: Place) -> Rung:
    """fuse-overlayfs: a process of ours, to which the kernel hands each access."""
    remedy = "install fuse-overlayfs, and give nestbox /dev/fuse"
    if place.tools is None or place.tools.fuse_overlayfs is None:
        return Rung(cause="there is no fuse-overlayfs", remedy=remedy)
    if place.fuse is None:
        return Rung(cause="there is no /dev/fuse", remedy=remedy)
    if not place.fuse.opens.works:
        error = place.fuse.opens.error
        return Rung(cause=f"/dev/fuse cannot be opened ({error})", remedy=remedy)
    if not place.separation.own_pid:
        return Rung(
            cause="in a shared pid namespace fuse-overlayfs would be in the container's reach",
            remedy="let the container have a pid namespace of its own",
        )
    if place.disk is None:
        return Rung(
            cause="fuse-overlayfs needs a directory for what is written, and "
            f"{place.storage.state_directory} is none",
            remedy="choose another place with NESTBOX_STORAGE; in a user namespace it has to map "
            "our own id alone",
        )
    chosen = f"fuse-overlayfs, upper layer in {place.disk}"
    owners = (
        "every file is root's in it, as no other id is mapped" if place.separation.own_ids else ""
    )
    return Rung(kind="fuse", upper=place.disk, chosen=chosen, cause=owners)


def _small_copy(place: Place) -> Rung:
    """A copy that nobody asked for: of a small root, or one that shares its blocks."""
    if place.root.size is None:
        return Rung(cause=f"it is too large to be copied unasked ({COPY_LIMIT_BYTES // MIB} MiB)")
    return _copy(place)


def _copy(place: Place) -> Rung:
    size, storage = place.root.size, place.storage
    if size is None:
        return Rung(
            cause="the root is larger than the space that is free "
            f"in {storage.state_directory} ({_mib(storage.free_bytes or 0)})",
            remedy="free some space there, or choose another place with NESTBOX_STORAGE",
        )
    shares = storage.reflink is not None and storage.reflink.works and place.disk is not None
    how = "a copy that shares its blocks" if shares else f"a copy of {_mib(size)}"
    where = f"in {place.disk}" if place.disk is not None else "on a tmpfs"
    note = "" if place.disk is not None else "it uses memory"
    return Rung(kind="copy", upper=place.disk, chosen=f"{how} {where}", cause=note)


def _mixed(place: Place) -> Rung:
    """Copies of what is small, the rest read-only: not all of it can be changed."""
    if place.kind is not RootKind.HOST or place.mode is RootMode.OVERLAY:
        return Rung()
    return Rung(
        kind="mixed",
        upper=place.upper,
        chosen="copies of small directories on a tmpfs, large ones read-only",
        cause=MEMORY_NOTE,
        remedy="install fuse-overlayfs, and give nestbox /dev/fuse",
    )


def _mib(size: int) -> str:
    return f"{-(-size // MIB)} MiB"
