"""The nodes of the outer /dev: what each is, and whether it can be opened."""

from __future__ import annotations

import errno
import os
import stat

from nestbox.kernel import syscalls
from nestbox.kernel.constants import AT_EACCESS, AT_FDCWD
from nestbox.kernel.trials import error_name
from nestbox.outer.facts import Device, Trial

# Opened for real: for these, opening has no effect of its own.
DEFAULT_NODES = (
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/fuse",
    "/dev/kvm",
    "/dev/net/tun",
)

# What engines leave out as well: file systems of their own, and what belongs to the engine.
_SKIPPED = frozenset({"pts", "shm", "mqueue", "fd", "console", ".lxc", ".lxd-mounts", ".udev"})
_DEPTH_LIMIT = 16
_TTY = (5, 0)


def _try_open(path: str, facts: os.stat_result) -> Trial:
    """Return the outcome of opening a node.

    The controlling terminal answers ENXIO when we have none, which shows that it may be opened.
    """
    access = os.O_RDONLY if stat.S_ISBLK(facts.st_mode) else os.O_RDWR
    try:
        fd = os.open(path, access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        numbers = (os.major(facts.st_rdev), os.minor(facts.st_rdev))
        if error.errno == errno.ENXIO and numbers == _TTY:
            return Trial(error=None)
        return Trial(error=error_name(error.errno or 0))
    os.close(fd)
    return Trial(error=None)


def _may_open(path: str, facts: os.stat_result) -> Trial:
    """Return whether permissions, the device cgroup and the mount allow a node to be opened.

    Without opening it: that starts a watchdog, rewinds a tape or resets a modem. The kernel checks
    the device cgroup in faccessat2(2) as well; only the driver's own answer is missing.
    Source: fs/namei.c, inode_permission.
    """
    access = os.R_OK if stat.S_ISBLK(facts.st_mode) else os.R_OK | os.W_OK
    try:
        syscalls.faccessat2(AT_FDCWD, path, access, AT_EACCESS)
        nodev = os.statvfs(path).f_flag & os.ST_NODEV
    except OSError as error:
        return Trial(error=error_name(error.errno or 0))
    return Trial(error="EACCES" if nodev else None)


def _observe_node(path: str) -> Device | None:
    """Return one node; None for what is no device, and for what went away."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    if not (stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode)):
        return None
    opens = _try_open if path in DEFAULT_NODES else _may_open
    return Device(
        kind="b" if stat.S_ISBLK(facts.st_mode) else "c",
        major=os.major(facts.st_rdev),
        minor=os.minor(facts.st_rdev),
        mode=stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid,
        gid=facts.st_gid,
        opens=opens(path, facts),
    )


def _walk(directory: str, depth: int = 0) -> list[str]:
    """Return the paths of the devices below a directory; links are not followed."""
    paths: list[str] = []
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return paths
    for entry in entries:
        if depth == 0 and entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            if depth < _DEPTH_LIMIT:
                paths += _walk(entry.path, depth + 1)
        elif not entry.is_symlink() and not entry.is_file(follow_symlinks=False):
            paths.append(entry.path)
    return paths


def observe_nodes(*, everything: bool) -> dict[str, Device]:
    """Return the nodes by path: the usual ones, or everything below /dev.

    The walk leaves out pts, shm, mqueue, fd, console and the directories of engines, as the
    engines' own ``--privileged`` does.
    """
    paths = [*DEFAULT_NODES, *_walk("/dev")] if everything else DEFAULT_NODES
    nodes: dict[str, Device] = {}
    for path in paths:
        if path not in nodes and (node := _observe_node(path)) is not None:
            nodes[path] = node
    return nodes
