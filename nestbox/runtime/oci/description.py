"""A container as `state` and `list` show it: runc's JSON members, in runc's order."""

from __future__ import annotations

from nestbox.oci.state import status_document
from nestbox.runtime.oci.documents import state_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nestbox.runtime.oci.container import Container


def describe(container: Container) -> dict[str, Any]:
    """Return the members; ``pid`` is 0 when the container is stopped.

    Source: runtime-spec runtime.md "State"; ``rootfs``, ``created`` and ``owner`` are runc's.
    """
    state = container.state
    members = state_members(container, container.status())
    return status_document(members, rootfs=state.rootfs, created=state.created, owner=state.owner)
