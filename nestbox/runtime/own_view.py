"""A view of the system for this process alone, where the one that it was given hides too much.

Two things that root can mend without changing anything for others, in a mount namespace of our own
which ends with us:

- A /proc that is missing, or is that of another pid namespace (`unshare --pid` without
  `--mount-proc`): there our numbers are those of other processes, and what is written to /proc/PID
  reaches somebody else.
- A root that is no mount, as after chroot(1): the kernel makes no user namespace there, and the
  root of a container could not be exchanged for it.

It changes the whole process, so it is for a command and not for a library.
"""

from __future__ import annotations

import os

from nestbox.kernel import constants as k
from nestbox.kernel.syscalls import (
    mount,
    move_mount,
    open_tree,
    pidfd_open,
    pivot_root,
    setns,
    umount2,
    unshare,
)

_PROC = "/proc"


def take_view(*, own_proc: bool) -> tuple[str, ...]:
    """Make the root a mount if it is none, and a /proc if asked; return what was done, in words.

    Where it is not possible all stays as it was, and the observation of the environment says what
    is missing.
    """
    try:
        unshare(k.CLONE_NEWNS)
    except OSError:
        return ()
    done = []
    if not _keep_mounts_apart():
        if not _make_root_a_mount():
            return ()
        done.append("the root here is no mount (chroot): this command made it one for itself")
    if own_proc and _mount_proc():
        done.append("no /proc here shows this process: this command mounted one for itself")
    return tuple(done)


def _keep_mounts_apart() -> bool:
    """Keep what is mounted from now on from who shares our mounts; return whether / is a mount."""
    try:
        mount(None, "/", None, k.MS_REC | k.MS_SLAVE)
    except OSError:
        return False
    return True


def _mount_proc() -> bool:
    """Mount a /proc; return whether it shows us."""
    try:
        mount("proc", _PROC, "proc", k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC)
        return os.readlink(f"{_PROC}/self") == str(os.getpid())
    except OSError:
        return False


def _make_root_a_mount() -> bool:
    """Exchange the root of our mount namespace for the directory that is our root.

    Entering one's own mount namespace leads to its real root. Source: fs/namespace.c,
    mntns_install. Back in the directory, nothing outside of it can be reached.
    """
    place = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    ourselves = pidfd_open(os.getpid())
    try:
        path = os.getcwd()
        setns(ourselves, k.CLONE_NEWNS)
        _exchange(place)
        os.chdir(path)
    except OSError:
        os.fchdir(place)
        os.chroot(".")
        os.fchdir(here)
        return False
    finally:
        for fd in (place, here, ourselves):
            os.close(fd)
    return True


def _exchange(place: int) -> None:
    mount(None, "/", None, k.MS_REC | k.MS_SLAVE)
    flags = k.OPEN_TREE_CLONE | k.AT_RECURSIVE | k.AT_EMPTY_PATH
    tree = open_tree(place, "", flags)
    try:
        both = k.MOVE_MOUNT_F_EMPTY_PATH | k.MOVE_MOUNT_T_EMPTY_PATH
        move_mount(tree, "", place, "", both)
        os.fchdir(tree)
        pivot_root(".", ".")
        umount2(".", k.MNT_DETACH)
        os.chdir("/")
    finally:
        os.close(tree)
