"""A configuration under examination, with what its checks ask again and again."""

from __future__ import annotations

import msgspec

from nestbox.oci.config import Config


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, and the fact that no document tells."""

    config: Config
    joins_own_network: bool = False  # the network namespace to join is the runtime's own

    def has(self, kind: str) -> bool:
        """Return whether the container gets or joins a namespace of this kind."""
        return self.config.namespace(kind) is not None

    def joins(self, kind: str) -> bool:
        """Return whether the container joins an existing namespace of this kind."""
        return bool(self.config.namespace(kind))
