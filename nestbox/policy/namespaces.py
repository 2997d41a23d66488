"""Which namespaces are made for the container. Pure.

The user, pid and network namespaces are decided with what they are for; the others are always
made, as far as the kernel has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.policy.subjects import lacks_namespace
from nestbox.policy.wish import by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision

# Source: init/Kconfig; cgroup namespaces have no option of their own.
_OPTIONS: Final = {"ipc": "CONFIG_IPC_NS", "uts": "CONFIG_UTS_NS", "cgroup": "CONFIG_CGROUPS"}


def decide_namespaces(
    environment: OuterEnvironment, *, user: bool, pid: bool, network: bool
) -> tuple[tuple[str, ...], tuple[Decision, ...]]:
    """Return the names of the namespaces to make, in the order of the launch, and what is less."""
    missing = tuple(kind for kind in _OPTIONS if lacks_namespace(environment, kind))
    decisions = tuple(
        by_nestbox(f"{kind}-namespace", "a new one").short(
            "the outer one",
            cause=f"this kernel has no {kind} namespaces",
            remedy=f"use a kernel with {_OPTIONS[kind]}",
        )
        for kind in missing
    )
    wanted = {
        "user": user,
        "mnt": True,
        "pid": pid,
        "ipc": "ipc" not in missing,
        "uts": "uts" not in missing,
        "net": network,
        "cgroup": "cgroup" not in missing,
    }
    return tuple(name for name, made in wanted.items() if made), decisions
