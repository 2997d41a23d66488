"""Which sysctls belong to a namespace: the one list of what a container may set.

Source: namespaces(7) and the kernel's registration of each table; CVE-2022-0811 is what an
unchecked name or value led to.
"""

from __future__ import annotations

from typing import Final

IPC_SYSCTLS: Final = frozenset(
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
IPC_PREFIX: Final = "fs/mqueue/"
NETWORK_PREFIX: Final = "net/"
USER_PREFIX: Final = "user/"
DOMAINNAME: Final = "kernel/domainname"
HOSTNAME: Final = "kernel/hostname"


def path_of(name: str) -> str | None:
    """Return the path below /proc/sys, or None when it is no name of a sysctl.

    The first of ``/`` and ``.`` separates parts, the other one is part of a name, as in
    ``net/ipv4/conf/eth0.100/forwarding``.

    Source: sysctl.d(5), "CONFIGURATION FORMAT".
    """
    first = next((character for character in name if character in "./"), ".")
    path = name if first == "/" else name.translate({ord("."): "/", ord("/"): "."})
    return path if all(_is_part(part) for part in path.split("/")) else None


def _is_part(part: str) -> bool:
    return bool(part) and not part.startswith(".") and part.isprintable() and " " not in part


def namespace_of(path: str) -> str:
    """Return the kind of namespace that a sysctl belongs to, or "" when the machine has one.

    Args:
        path: the path below /proc/sys.
    """
    if path in IPC_SYSCTLS or path.startswith(IPC_PREFIX):
        return "ipc"
    if path.startswith(NETWORK_PREFIX):
        return "network"
    if path.startswith(USER_PREFIX):
        return "user"
    return "uts" if path in {DOMAINNAME, HOSTNAME} else ""
