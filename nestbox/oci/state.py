"""Documents about the state of a container: for hooks, for ``state`` and ``list``, for an agent.

Plain dictionaries in the specification's order: the commands that tell a state load no msgspec.

Source: runtime-spec 1.3, runtime.md "State"; config-linux.md "The Container Process State".
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes 6 ms to load
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

SECCOMP_FD: Final = "seccompFd"  # the name of the listener's descriptor
SPEC_VERSION: Final = "1.3.0"  # config.SPEC_VERSION, without what that module loads


def state_document(
    container: str, *, status: str, pid: int, bundle: str, annotations: Mapping[str, str]
) -> dict[str, Any]:
    """Return the state as hooks read it from their standard input.

    Args:
        container: its id.
        status: creating, created, running or stopped.
        pid: of its first process as seen by who reads it; 0 when there is none.
        bundle: the absolute path of the bundle.
        annotations: those of the configuration.
    """
    document: dict[str, Any] = {"ociVersion": SPEC_VERSION, "id": container, "status": status}
    if pid:
        document["pid"] = pid
    document["bundle"] = bundle
    if annotations:
        document["annotations"] = dict(annotations)
    return document


def status_document(
    state: Mapping[str, Any], *, rootfs: str, created: str, owner: str
) -> dict[str, Any]:
    """Return what ``state`` prints, and ``list`` for each container, in the form of runc.

    Args:
        state: the container's, of ``state_document``; its status may be paused too.
        rootfs: the absolute path of its root file system.
        created: when, as RFC 3339 with nanoseconds in UTC.
        owner: who owns its state directory; ``state`` leaves it empty.
    """
    stopped = state["status"] == "stopped"
    document: dict[str, Any] = {
        "ociVersion": state["ociVersion"],
        "id": state["id"],
        "pid": 0 if stopped else state.get("pid", 0),
        "status": state["status"],
        "bundle": state["bundle"],
        "rootfs": rootfs,
        "created": created,
    }
    if "annotations" in state:
        document["annotations"] = state["annotations"]
    document["owner"] = owner
    return document


def seccomp_document(*, pid: int, metadata: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a seccomp agent gets beside the listener's descriptor.

    Args:
        pid: of the process with the filter, as seen by the runtime.
        metadata: ``linux.seccomp.listenerMetadata``.
        state: the container's, of ``state_document``.
    """
    return {
        "ociVersion": SPEC_VERSION,
        "fds": [SECCOMP_FD],
        "pid": pid,
        "metadata": metadata,
        "state": dict(state),
    }
