"""What is told of a root that is made of more than one overlay. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.paths import depth
from nestbox.policy.request import THROWN_AWAY, RootKind
from nestbox.policy.root_parts import MIB, PART_LIMIT_BYTES, TOTAL_LIMIT_BYTES
from nestbox.policy.wish import by_flag, by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import Kernel
    from nestbox.policy.decision import Decision
    from nestbox.policy.host_mounts import HostTree
    from nestbox.policy.root_ladder import Rung
    from nestbox.policy.root_parts import Parts
    from nestbox.policy.root_place import Place

_NAMED: Final = 8  # of the directories that can only be read
_LIMIT: Final = (
    f"no more than {PART_LIMIT_BYTES // MIB} MiB of a directory and "
    f"{TOTAL_LIMIT_BYTES // MIB} MiB of all are copied unasked"
)


def parts_decisions(parts: Parts, rung: Rung, place: Place, flag: str) -> tuple[Decision, ...]:
    """Return what of the root itself cannot be changed; refused where an overlay was named."""
    if not parts.weaker:
        return ()
    paths = sorted(parts.weaker, key=lambda path: (depth(path), path))
    named = ", ".join(paths[:_NAMED])
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    copy = "host:copy" if place.kind is RootKind.HOST else "DIR:copy"
    wish = by_nestbox("root.writes", "all of it")
    if place.mode in THROWN_AWAY:
        wish = by_flag("root.writes", "all of it", flag)
    return (
        wish.short(
            f"read-only: {named}{more}",
            cause="; ".join((*dict.fromkeys(parts.weaker.values()), _LIMIT)),
            remedy=" or ".join(filter(None, (rung.remedy, f"ask for --rootfs {copy}"))),
        ),
    )


def layers_decisions(rung: Rung, kernel: Kernel, *, nested: bool) -> tuple[Decision, ...]:
    """Return what overlays of a user namespace cannot do whose upper layer is on a tmpfs.

    They mark a directory that is made in place of another by an attribute of the user. Sources:
    fs/overlayfs/dir.c ovl_set_opaque; mm/shmem.c, user.* attributes since Linux 6.6.
    """
    overlays = rung.kind in {"overlay", "overlays"}
    if not nested or not overlays or rung.upper is not None or kernel.version >= (6, 6):
        return ()
    return (
        by_nestbox("root.directories", "removed and made again").short(
            "one of the root that was removed cannot be made again (EIO)",
            cause="before Linux 6.6 a tmpfs keeps no attributes of users, and overlayfs needs one "
            "for it",
            remedy="map no ids but your own, with NESTBOX_STORAGE on a disk, or use a newer kernel",
        ),
    )


def mounts_decisions(tree: HostTree, place: Place) -> tuple[Decision, ...]:
    """Return what became of the mounts below the root; an overlay of a directory shows none."""
    if place.kind is RootKind.DIRECTORY and not tree.total:
        return ()
    wish = by_nestbox("root.mounts", f"{tree.total} mounts below {place.root.directory}")
    layered = f"{len(tree.layers)} as overlays of their own"
    if tree.weaker:
        return (
            wish.short(
                f"{layered}; read-only: {', '.join(tree.weaker)}",
                cause="; ".join(dict.fromkeys(tree.weaker.values())),
                remedy="mount what must be written with -v",
            ),
        )
    bound = f", {len(tree.binds)} read-only" if tree.binds else ""
    omitted = f", without {', '.join(tree.omitted)}" if tree.omitted else ""
    cause = "files are bound read-only" if tree.binds else ""
    return (wish.granted(f"{layered}{bound}{omitted}", cause=cause),)
