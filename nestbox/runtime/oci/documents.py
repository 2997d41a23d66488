"""The state of a container as documents for others: hooks and the agent of a seccomp filter.

Source: runtime-spec runtime.md, "State".
"""

from __future__ import annotations

from nestbox import json_text
from nestbox.oci.state import state_document as state_document_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from nestbox.runtime.oci.container import Container


def state_members(container: Container, status: str, pid: int | None = None) -> dict[str, Any]:
    """Return the members of the state document.

    ``pid`` is the first process where it is not in the container's directory yet; no pid is given
    for a container that has stopped.
    """
    if pid is None:
        process = container.process()
        pid = 0 if process is None else process.pid
    state = container.state
    return state_document_of(
        state.id, status=status, pid=pid, bundle=state.bundle, annotations=state.annotations
    )


def state_document(container: Container, status: str, pid: int | None = None) -> bytes:
    """Return the state document that a hook reads on its standard input."""
    return json_text.encode(state_members(container, status, pid)).encode()
