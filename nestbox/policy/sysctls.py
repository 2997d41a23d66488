"""Sysctls of the container: only those that belong to a namespace of its own. Pure.

Source: namespaces(7) and the kernel's registration of each table; CVE-2022-0811 is what an
unchecked name or value led to.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.policy.wish import by_flag

if TYPE_CHECKING:
    from nestbox.policy.decision import Decision
    from nestbox.policy.request import RunRequest

_PART: Final = re.compile(r"[A-Za-z0-9_\-:]+(\.[0-9]+)?")
_IPC: Final = frozenset(
    {
        "kernel/auto_msgmni",
        "kernel/msg_next_id",
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/sem_next_id",
        "kernel/shm_next_id",
        "kernel/shm_rmid_forced",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
    }
)
_IPC_PREFIX: Final = "fs/mqueue/"
_NET_PREFIX: Final = "net/"
_UTS: Final = {
    "kernel/hostname": "use --hostname",
    "kernel/domainname": "leave it out: nestbox sets no domain name",
}


def decide_sysctls(
    request: RunRequest, *, own_network: bool
) -> tuple[tuple[tuple[str, str], ...], tuple[Decision, ...]]:
    """Return what to write, as (path below /proc/sys, value), and a decision for each.

    Raises:
        UsageError: a name or value is malformed, or a name is given twice.
    """
    settings: dict[str, str] = {}
    decisions: list[Decision] = []
    for name, value in request.sysctls:
        path = _path_of(name, value)
        if path in settings:
            raise UsageError(f"--sysctl {name}", cause="it is given twice", remedy="give it once")
        settings[path] = value
        decisions.append(_decide(name, value, path, own_network=own_network))
    return tuple(settings.items()), tuple(decisions)


def _path_of(name: str, value: str) -> str:
    """Return the path below /proc/sys; the first of ``/`` and ``.`` is the separator.

    Source: sysctl.d(5), "CONFIGURATION FORMAT".
    """
    first = next((character for character in name if character in "./"), ".")
    path = name if first == "/" else name.translate({ord("."): "/", ord("/"): "."})
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        raise UsageError(
            f"--sysctl {name!r}", cause="it is no name of a sysctl", remedy="write it as net.core.x"
        )
    if "\0" in value or "\n" in value or not value:
        raise UsageError(
            f"--sysctl {name}",
            cause="its value is empty or is more than one line",
            remedy="write NAME=VALUE on one line",
        )
    return path


def _decide(name: str, value: str, path: str, *, own_network: bool) -> Decision:
    wish = by_flag(f"sysctl {name}", f"{name}={value}", f"--sysctl {name}={value}")
    if path in _IPC or path.startswith(_IPC_PREFIX):
        return wish.granted("set in the container's ipc namespace")
    if path.startswith(_NET_PREFIX):
        if own_network:
            return wish.granted("set in the container's network namespace")
        return wish.refused(
            cause="the container shares the outer network, so it would change the outer sysctl",
            remedy="use --network none, or set it outside",
        )
    if path in _UTS:
        return wish.refused(cause="it is no limit but a name", remedy=_UTS[path])
    return wish.refused(
        cause="it belongs to no namespace, so it would change the whole machine",
        remedy=f"set it outside: sysctl -w {name}={value}",
    )
