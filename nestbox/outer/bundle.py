"""Observation of the files that a config.json names: bind sources, namespaces, covered directories.

A few calls for each, and nothing is opened that could block: a source may be a pipe or a device.
"""

from __future__ import annotations

import os
import stat

import msgspec

from nestbox.errors import UsageError, reason
from nestbox.kernel import procfs, syscalls
from nestbox.kernel.constants import PROC_SUPER_MAGIC
from nestbox.kernel.namespaces import TABLE
from nestbox.outer.bundle_facts import (
    BundleAsks,
    BundleFacts,
    NamespaceFacts,
    NodeFacts,
    Place,
    SourceFacts,
)
from nestbox.outer.derived import is_below
from nestbox.outer.facts import IdMap
from nestbox.outer.root import read_inside
from nestbox.outer.sources import Sources, read_optional

_PROC_ROOT_INODE = 1  # include/linux/proc_ns.h, PROC_ROOT_INO
_FLAGS = (
    ("ro", os.ST_RDONLY),
    ("nosuid", os.ST_NOSUID),
    ("nodev", os.ST_NODEV),
    ("noexec", os.ST_NOEXEC),
    ("noatime", os.ST_NOATIME),
    ("nodiratime", os.ST_NODIRATIME),
    ("relatime", os.ST_RELATIME),
    ("nosymfollow", 0x2000),  # ST_NOSYMFOLLOW of include/linux/statfs.h, which Python lacks
)
_KERNEL_TYPES = frozenset({"proc", "sysfs"})
_NAME_OF_FLAG = {row.flag: row.name for row in TABLE}


def observe_bundle(asks: BundleAsks) -> BundleFacts:
    """Return what is asked for; what cannot be reached is said in its own facts."""
    return BundleFacts(
        sources={path: _source(path) for path in asks.sources},
        namespaces={path: _namespace(path) for path in asks.namespaces},
        devices=_devices(asks.devices),
        kernel_mounts=_kernel_mounts(asks.kernel_mounts),
        passwd=None if asks.passwd is None else _text(asks.passwd),
        kcore=os.path.exists("/proc/kcore"),
    )


def _source(path: str) -> SourceFacts:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return SourceFacts(error=reason(error))
    try:
        facts, filesystem = os.fstat(fd), syscalls.fstatfs_type(fd)
        flags = os.fstatvfs(fd).f_flag
    except OSError as error:
        return SourceFacts(error=reason(error))
    finally:
        os.close(fd)
    proc = filesystem == PROC_SUPER_MAGIC
    return SourceFacts(
        kind=_kind(facts.st_mode),
        proc=proc,
        proc_root=proc and facts.st_ino == _PROC_ROOT_INODE,
        attributes=tuple(name for name, flag in _FLAGS if flags & flag),
    )


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    return "socket" if stat.S_ISSOCK(mode) else "other"


def _namespace(path: str) -> NamespaceFacts:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        return NamespaceFacts(error=reason(error))
    try:
        kind = _namespace_kind(fd)
        facts = os.fstat(fd)
    finally:
        os.close(fd)
    if not kind:
        return NamespaceFacts()
    own = os.stat(f"/proc/thread-self/ns/{kind}")
    found = NamespaceFacts(kind=kind, own=(own.st_dev, own.st_ino) == (facts.st_dev, facts.st_ino))
    return _with_ids(found, facts) if kind == "user" else found


def _namespace_kind(fd: int) -> str:
    """Return the name of the kind of namespace, empty for another file.

    All namespaces are files of one file system, so that nothing else is asked by ioctl_ns(2).
    """
    if os.fstat(fd).st_dev != os.stat("/proc/thread-self/ns/mnt").st_dev:
        return ""
    return _NAME_OF_FLAG.get(syscalls.ns_get_nstype(fd), "")


def _with_ids(found: NamespaceFacts, namespace: os.stat_result) -> NamespaceFacts:
    """Return the facts with the maps of a user namespace as some process in it shows them.

    Nothing tells them of a namespace without processes, short of entering it.
    """
    wanted = (namespace.st_dev, namespace.st_ino)
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            facts = os.stat(f"/proc/{name}/ns/user")
            if (facts.st_dev, facts.st_ino) == wanted:
                return msgspec.structs.replace(
                    found,
                    uid_map=_read_map(name, "uid_map"),
                    gid_map=_read_map(name, "gid_map"),
                    setgroups_denied=read_optional(f"/proc/{name}/setgroups") == "deny",
                )
        except (OSError, procfs.MalformedText):
            continue
    return found


def _read_map(pid: str, name: str) -> tuple[IdMap, ...]:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        rows = procfs.parse_id_map(file.read())
    return tuple(IdMap(inside=row.inside, outside=row.outside, count=row.count) for row in rows)


def _devices(paths: tuple[str, ...]) -> dict[str, NodeFacts]:
    """Return those that are device nodes; links are not followed."""
    nodes = {}
    for path in paths:
        try:
            facts = os.lstat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
            nodes[path] = NodeFacts(
                kind="b" if stat.S_ISBLK(facts.st_mode) else "c",
                major=os.major(facts.st_rdev),
                minor=os.minor(facts.st_rdev),
                mode=stat.S_IMODE(facts.st_mode),
                uid=facts.st_uid,
                gid=facts.st_gid,
            )
    return nodes


def _kernel_mounts(root: str | None) -> tuple[str, ...]:
    """Return where a whole proc or sysfs is mounted outside the root."""
    if root is None:
        return ()
    return tuple(
        mount.target
        for mount in Sources().mounts
        if mount.fstype in _KERNEL_TYPES and mount.root == "/" and not is_below(mount.target, root)
    )


def _text(place: Place) -> str | None:
    try:
        return read_inside(place.directory, place.path)
    except UsageError:
        return None  # HOME is then the default, as for a root whose file has no entry
