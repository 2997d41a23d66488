"""Where a root is made whose changes are thrown away: all that the choice of a rung depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.facts import Trial
from nestbox.policy.host_mounts import is_layered

if TYPE_CHECKING:
    from nestbox.outer.facts import Device, Mount, RootFacts, Storage, Tools
    from nestbox.policy.request import RootKind, RootMode

# How a directory answers in which nothing can be made.
_CLOSED: Final = frozenset({"EACCES", "EROFS", "ENOSPC", "EDQUOT", "ENOTDIR", "ELOOP", "ENOENT"})


class Separation(msgspec.Struct, frozen=True, kw_only=True):
    """What of the container's namespaces matters to its root."""

    new_user_namespace: bool = False
    own_ids: bool = False  # of a new one: none but our own are mapped, so that all files stay ours
    own_pid: bool = True  # it does not see the processes outside


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a root is to be made: all that the choice depends on."""

    kind: RootKind
    mode: RootMode
    root: RootFacts
    storage: Storage
    mounts: tuple[Mount, ...]
    tools: Tools | None
    fuse: Device | None  # /dev/fuse
    separation: Separation

    @property
    def single(self) -> Trial:
        """One overlay over the present root, its upper layer on a tmpfs."""
        return (
            self.storage.overlay_user
            if self.separation.new_user_namespace
            else self.storage.overlay_tmpfs
        )

    @property
    def full(self) -> frozenset[str]:
        """The targets of mounts over which no overlay can be made."""
        return frozenset(
            self.storage.full_user if self.separation.new_user_namespace else self.storage.full
        )

    @property
    def overlays(self) -> Trial:
        """Whether overlays can be made here at all."""
        storage = self.storage
        user = self.separation.new_user_namespace
        bare = storage.bare_user if user else storage.bare
        plain = storage.overlay_user_directory if user else storage.overlay_tmpfs_directory
        for trial in (bare, plain):
            if trial is not None:
                return trial
        if user and self.single.error == "EINVAL":
            return Trial(error=None)  # the answer of mounts that are locked below /
        return self.single

    @property
    def upper(self) -> str | None:
        """The directory for upper layers and copies; None where that has to be a tmpfs."""
        storage = self.storage
        if not self.separation.new_user_namespace:
            return storage.state_directory if storage.overlay.works else None
        trial = storage.overlay_user_state
        usable = self.separation.own_ids and trial is not None and trial.works
        return storage.state_directory if usable else None

    @property
    def disk(self) -> str | None:
        """The directory for what is no overlay's upper layer: a copy, and what FUSE writes."""
        storage = self.storage
        if self.separation.new_user_namespace and not self.separation.own_ids:
            return None
        trial = (
            storage.overlay_user_state if self.separation.new_user_namespace else storage.overlay
        )
        closed = trial is None or trial.error in _CLOSED
        return None if closed else storage.state_directory

    def takes_overlay(self, mount: Mount | None) -> bool:
        """Return whether an overlay can be made over directories of a mount."""
        if mount is None:
            return self.overlays.works
        return self.overlays.works and mount.target not in self.full and is_layered(mount.fstype)
