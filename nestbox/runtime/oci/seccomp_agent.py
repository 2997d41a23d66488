"""Handing the notify listener of a seccomp filter to the agent that answers for it.

Source: runtime-spec 1.3, config-linux.md, "Container Process State".
"""

from __future__ import annotations

import os

from nestbox import json_text
from nestbox.errors import LaunchError
from nestbox.oci.state import seccomp_document
from nestbox.runtime.oci import handover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.oci.seccomp import LinuxSeccomp


def hand_over(seccomp: LinuxSeccomp | None, listener: int, pid: int, state: bytes) -> None:
    """Send a listener to the agent that the filter names, and close it. Raises LaunchError."""
    assert seccomp is not None, "a listener came for a process without a filter"
    try:
        send_listener(
            seccomp.listener_path or "",
            listener,
            pid=pid,
            metadata=seccomp.listener_metadata or "",
            state=state,
        )
    finally:
        os.close(listener)


def send_listener(path: str, listener: int, *, pid: int, metadata: str, state: bytes) -> None:
    """Send a listener with the state of the process that it is for.

    Args:
        path: the agent's socket, ``listenerPath``.
        listener: the descriptor that seccomp(2) returned.
        pid: the process with the filter, in the runtime's pid namespace.
        metadata: ``listenerMetadata``, which the agent alone understands.
        state: the container's state (runtime.md, "State") as JSON.

    Raises:
        LaunchError: no agent listens, or it went.
    """
    document = process_state(pid=pid, metadata=metadata, state=state)
    try:
        connection = handover.connect(path)
    except LaunchError as error:
        raise LaunchError(
            "failed to connect with seccomp agent specified in the seccomp profile",
            cause=f"{path!r}: {error.cause}",
            remedy="start the agent first, or take listenerPath out of the profile",
        ) from error
    try:
        handover.send_descriptor(connection, listener, document)
    finally:
        os.close(connection)


def process_state(*, pid: int, metadata: str, state: bytes) -> bytes:
    """Return the document that an agent gets: ContainerProcessState, with one descriptor."""
    found = json_text.decode(state.decode())
    return json_text.encode(seccomp_document(pid=pid, metadata=metadata, state=found)).encode()
