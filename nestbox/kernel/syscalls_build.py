"""Declarations of nestbox's system calls for cffi: compiles ``nestbox.kernel._syscalls``.

Stands alone: the build imports it before nestbox is installed. What the kernel's headers define is
taken from them by the C compiler (``#define NAME ...``), so no number is written down twice.
"""

from __future__ import annotations

import os
import re

import cffi

_HERE = os.path.dirname(os.path.abspath(__file__))
_HEADERS = ("syscalls.h", "trials.h", "spawn.h", "helper.h")
_SOURCES = (
    "syscalls.c",
    "trial_child.c",
    "trial_syscalls.c",
    "trial_user.c",
    "trials.c",
    "trial_network.c",
    "spawn.c",
    "helper.c",
)

CONSTANTS: list[str] = re.findall(
    r"\w+",
    """
    CLONE_NEWNS CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET
    CLONE_NEWTIME CLONE_PARENT CLONE_INTO_CGROUP

    PROC_IPC_INIT_INO PROC_UTS_INIT_INO PROC_USER_INIT_INO PROC_PID_INIT_INO PROC_CGROUP_INIT_INO
    PROC_TIME_INIT_INO

    AT_FDCWD AT_EMPTY_PATH AT_SYMLINK_NOFOLLOW AT_RECURSIVE AT_EACCESS AT_NO_AUTOMOUNT
    RESOLVE_NO_XDEV RESOLVE_NO_MAGICLINKS RESOLVE_NO_SYMLINKS RESOLVE_BENEATH RESOLVE_IN_ROOT
    RESOLVE_CACHED

    OPEN_TREE_CLONE OPEN_TREE_CLOEXEC
    MOVE_MOUNT_F_SYMLINKS MOVE_MOUNT_F_EMPTY_PATH MOVE_MOUNT_T_SYMLINKS MOVE_MOUNT_T_EMPTY_PATH
    MOVE_MOUNT_SET_GROUP MOVE_MOUNT_BENEATH
    FSOPEN_CLOEXEC FSMOUNT_CLOEXEC
    FSCONFIG_SET_FLAG FSCONFIG_SET_STRING FSCONFIG_SET_FD FSCONFIG_CMD_CREATE
    FSCONFIG_CMD_RECONFIGURE
    MOUNT_ATTR_RDONLY MOUNT_ATTR_NOSUID MOUNT_ATTR_NODEV MOUNT_ATTR_NOEXEC MOUNT_ATTR__ATIME
    MOUNT_ATTR_RELATIME MOUNT_ATTR_NOATIME MOUNT_ATTR_STRICTATIME MOUNT_ATTR_NODIRATIME
    MOUNT_ATTR_IDMAP MOUNT_ATTR_NOSYMFOLLOW
    MS_RDONLY MS_NOSUID MS_NODEV MS_NOEXEC MS_REMOUNT MS_BIND MS_MOVE MS_REC
    MS_UNBINDABLE MS_PRIVATE MS_SLAVE MS_SHARED
    MNT_DETACH UMOUNT_NOFOLLOW

    PR_SET_PDEATHSIG PR_SET_DUMPABLE PR_GET_DUMPABLE PR_SET_KEEPCAPS PR_SET_NAME
    PR_CAPBSET_READ PR_CAPBSET_DROP PR_GET_SECUREBITS PR_SET_SECUREBITS PR_SET_NO_NEW_PRIVS
    PR_GET_NO_NEW_PRIVS PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER PR_CAP_AMBIENT
    PR_CAP_AMBIENT_IS_SET PR_CAP_AMBIENT_RAISE PR_CAP_AMBIENT_LOWER PR_CAP_AMBIENT_CLEAR_ALL
    SECBIT_NOROOT SECBIT_NOROOT_LOCKED SECBIT_NO_SETUID_FIXUP SECBIT_NO_SETUID_FIXUP_LOCKED
    SECBIT_KEEP_CAPS SECBIT_KEEP_CAPS_LOCKED SECBIT_NO_CAP_AMBIENT_RAISE
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED

    SECCOMP_SET_MODE_STRICT SECCOMP_SET_MODE_FILTER SECCOMP_GET_ACTION_AVAIL
    SECCOMP_FILTER_FLAG_TSYNC SECCOMP_FILTER_FLAG_LOG SECCOMP_FILTER_FLAG_SPEC_ALLOW
    SECCOMP_FILTER_FLAG_NEW_LISTENER SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    KEYCTL_JOIN_SESSION_KEYRING

    CLOSE_RANGE_CLOEXEC CLOSE_RANGE_UNSHARE
    MFD_CLOEXEC MFD_ALLOW_SEALING MFD_EXEC MFD_NOEXEC_SEAL

    BPF_PROG_TYPE_CGROUP_DEVICE BPF_CGROUP_DEVICE BPF_F_ALLOW_MULTI

    PROC_SUPER_MAGIC SYSFS_MAGIC CGROUP2_SUPER_MAGIC TMPFS_MAGIC OVERLAYFS_SUPER_MAGIC

    VFS_CAP_REVISION_MASK VFS_CAP_REVISION_1 VFS_CAP_REVISION_2 VFS_CAP_REVISION_3
    VFS_CAP_FLAGS_EFFECTIVE

    RLIMIT_AS RLIMIT_CORE RLIMIT_CPU RLIMIT_DATA RLIMIT_FSIZE RLIMIT_LOCKS RLIMIT_MEMLOCK
    RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_NOFILE RLIMIT_NPROC RLIMIT_RSS RLIMIT_RTPRIO RLIMIT_RTTIME
    RLIMIT_SIGPENDING RLIMIT_STACK
    """,
)


def _declarations(header: str) -> str:
    """Return the text of a header without its preprocessor lines, which cffi cannot read."""
    with open(os.path.join(_HERE, header), encoding="utf-8") as file:
        return re.sub(r"^#.*$", "", file.read(), flags=re.MULTILINE)


ffibuilder = cffi.FFI()
ffibuilder.cdef("\n".join(f"#define {name} ..." for name in CONSTANTS))
for _header in _HEADERS:
    ffibuilder.cdef(_declarations(_header))
ffibuilder.set_source(
    "nestbox.kernel._syscalls",
    '#include "compat.h"\n#include <sys/resource.h>\n'
    + "".join(f'#include "{header}"\n' for header in _HEADERS),
    sources=[f"nestbox/kernel/{source}" for source in _SOURCES],
    include_dirs=["nestbox/kernel"],
    depends=[
        f"nestbox/kernel/{name}" for name in (*_HEADERS, *_SOURCES, "compat.h", "trial_child.h")
    ],
    extra_compile_args=["-std=gnu11"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
