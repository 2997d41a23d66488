"""Where a path of the container lies: below which of the mounts that are its own."""

from __future__ import annotations

from nestbox.plan.steps import SLOT_PLACES, SLOT_ROOT
from nestbox.policy.launch_spec import MountSpec

_NO_MOUNTS = frozenset({"link", "remount"})


def is_mount(mount: MountSpec) -> bool:
    """Whether something is attached, rather than changed or linked."""
    return mount.fstype not in _NO_MOUNTS


def attached_at(mounts: tuple[MountSpec, ...], target: str) -> bool:
    """Whether one of these mounts is attached at a target."""
    return any(mount.target == target and is_mount(mount) for mount in mounts)


def place_of(mounts: tuple[MountSpec, ...], path: str) -> tuple[int, str]:
    """Return the slot that a path is resolved below once these mounts are made, and its rest.

    What lies in a mount of our own is reached by the descriptor of that mount: whoever can write
    to the root meanwhile could put another directory into the place where it is mounted, and what
    is masked there would be bare as soon as he puts the first one back (CVE-2025-31133).
    """
    for slot, top in SLOT_PLACES.items():
        if path.startswith(f"{top}/") and attached_at(mounts, top):
            return slot, path.removeprefix(top)
    return SLOT_ROOT, path
