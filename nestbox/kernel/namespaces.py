"""The namespace table: the one list of kinds, their clone flags and their first inodes."""

from __future__ import annotations

import msgspec

from nestbox.kernel._syscalls import lib


class NamespaceRow(msgspec.Struct, frozen=True):
    """One kind of namespace: its name in /proc/PID/ns, and its flag of clone(2).

    ``initial_inode`` is the inode of the one that the kernel starts with, where that is fixed.
    """

    name: str
    flag: int
    initial_inode: int | None


# Source: namespaces(7), include/linux/proc_ns.h; the inodes of mnt and net are given out at boot.
TABLE: tuple[NamespaceRow, ...] = (
    NamespaceRow("mnt", lib.CLONE_NEWNS, None),
    NamespaceRow("pid", lib.CLONE_NEWPID, lib.PROC_PID_INIT_INO),
    NamespaceRow("ipc", lib.CLONE_NEWIPC, lib.PROC_IPC_INIT_INO),
    NamespaceRow("uts", lib.CLONE_NEWUTS, lib.PROC_UTS_INIT_INO),
    NamespaceRow("net", lib.CLONE_NEWNET, None),
    NamespaceRow("cgroup", lib.CLONE_NEWCGROUP, lib.PROC_CGROUP_INIT_INO),
    NamespaceRow("time", lib.CLONE_NEWTIME, lib.PROC_TIME_INIT_INO),
    NamespaceRow("user", lib.CLONE_NEWUSER, lib.PROC_USER_INIT_INO),
)

FLAG: dict[str, int] = {row.name: row.flag for row in TABLE}
INITIAL_INODE: dict[str, int | None] = {row.name: row.initial_inode for row in TABLE}
