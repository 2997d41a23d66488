"""What can be changed around us so that more can be given. Values only.

A change says what is needed and not how any engine spells it: ``nestbox.doctor.remedies`` writes it
for the engine that is there, or for another one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class ChangeKind(StrEnum):
    """The kinds of changes, each with what ``Change.value`` holds."""

    CAPABILITY = "capability"  # a name, CAP_SYS_ADMIN
    SYSTEM_CALLS = "system-calls"  # names separated by blanks, which the outer filter is to allow
    APPARMOR = "apparmor"  # no value: the outer profile denies what is needed
    SELINUX = "selinux"  # no value
    PROC = "proc"  # no value: parts of /proc or /sys are masked or read-only
    CGROUP = "cgroup"  # no value: the cgroup file system is to be writable
    DEVICE = "device"  # a path
    VOLUME = "volume"  # a directory that is to be on a disk, not on the container's layer
    ROOT_USER = "root-user"  # no value: uid 0
    NEW_PRIVILEGES = "new-privileges"  # no value: no_new_privs is to be off
    SYSCTL = "sysctl"  # NAME=VALUE, of the machine
    SUBORDINATE_IDS = "subordinate-ids"  # the user to whom they are to belong
    PACKAGE = "package"  # what is to be installed, by Debian's name
    KERNEL = "kernel"  # what the kernel lacks, in words


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to change, and what it is needed for."""

    kind: ChangeKind
    value: str = ""
    why: str = ""


# What whoever makes the change gives away. By kind, and for capabilities by name where one of them
# is more than its share.
RISKS: Final = {
    ChangeKind.SYSTEM_CALLS: "more of the kernel can be reached by an attacker in the container",
    ChangeKind.APPARMOR: "the profile no longer guards the host's files and mounts",
    ChangeKind.SELINUX: "the label no longer keeps the container from the host's files",
    ChangeKind.PROC: "keys and settings of the host's kernel can be read, and some be written",
    ChangeKind.CGROUP: "the container can raise its own limits below the outer ones",
    ChangeKind.DEVICE: "whoever opens the device has what the driver offers",
    ChangeKind.ROOT_USER: "a fault in the kernel is met by root",
    ChangeKind.NEW_PRIVILEGES: "setuid programs in the container give their rights",
    ChangeKind.SYSCTL: "it holds for every process of the machine",
}
CAPABILITY_RISKS: Final = {
    "CAP_BPF": "programs can be loaded into the kernel",
    "CAP_DAC_READ_SEARCH": "files of the host can be read through handles",
    "CAP_MKNOD": "nodes of the host's devices can be made, where the device cgroup allows it",
    "CAP_NET_ADMIN": "the network of the namespace can be changed, the host's if it is shared",
    "CAP_SYS_ADMIN": "nearly root on the host: mounts and namespaces, and with them most escapes",
    "CAP_SYS_BOOT": "the machine can be restarted",
    "CAP_SYS_MODULE": "root on the host: kernel modules can be loaded",
    "CAP_SYS_PTRACE": "processes that share the pid namespace can be read and changed",
    "CAP_SYS_RAWIO": "root on the host: memory and ports can be written",
    "CAP_SYS_TIME": "the clock of the machine can be set",
}


def risk(change: Change) -> str:
    """Return what a change gives away, empty where that is little."""
    if change.kind is ChangeKind.CAPABILITY:
        return CAPABILITY_RISKS.get(change.value, "")
    return RISKS.get(change.kind, "")


def values(changes: tuple[Change, ...], kind: ChangeKind) -> tuple[str, ...]:
    """Return the values of the changes of a kind, each once, in their order."""
    return tuple(dict.fromkeys(one.value for one in changes if one.kind is kind))


def wanted(changes: tuple[Change, ...], kind: ChangeKind) -> bool:
    """Return whether there is a change of that kind."""
    return any(one.kind is kind for one in changes)
