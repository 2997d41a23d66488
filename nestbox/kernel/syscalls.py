"""System calls, named as their man pages, with typed arguments and OSError for every failure.

Nothing here decides or retries. Paths are str (surrogateescape) or bytes; one that holds a NUL
raises ValueError, as in the os module. Descriptors that are returned are close-on-exec only where
the flags say so.
"""

from __future__ import annotations

import os
from typing import NoReturn

import msgspec

from nestbox.kernel._syscalls import ffi, lib

Path = str | bytes


class ThreadRights(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel says of the calling thread: five sets as bit masks, and what limits them."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    securebits: int
    no_new_privs: bool
    last: int  # the highest capability that PR_CAPBSET_READ knows


def _fail(result: int, *names: Path | None) -> NoReturn:
    """Raise the OSError for a result of ``-errno``."""
    shown = [os.fsdecode(name) for name in names if name is not None]
    if not shown:
        raise OSError(-result, os.strerror(-result))
    second = shown[1] if len(shown) > 1 else None
    raise OSError(-result, os.strerror(-result), shown[0], None, second)


def _checked(result: int, *names: Path | None) -> int:
    """Return the result, or raise the OSError that it stands for."""
    if result < 0:
        _fail(result, *names)
    return result


def _text(path: Path) -> bytes:
    """Return the path as the bytes that a system call takes. Raises ValueError for a NUL."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


def _optional(value: Path | None) -> object:
    """Return the bytes of a value, or the null pointer for None."""
    return ffi.NULL if value is None else _text(value)


def thread_rights() -> ThreadRights:
    """Return the rights of the calling thread, by capget(2) and prctl(2). Raises OSError.

    Source: capabilities(7), PR_CAPBSET_READ(2const), PR_CAP_AMBIENT(2const).
    """
    rights = ffi.new("struct nb_rights *")
    _checked(lib.nb_thread_rights(rights))
    return ThreadRights(
        inheritable=rights.inheritable,
        permitted=rights.permitted,
        effective=rights.effective,
        bounding=rights.bounding,
        ambient=rights.ambient,
        securebits=rights.securebits,
        no_new_privs=rights.no_new_privs != 0,
        last=rights.last,
    )


def capget(pid: int = 0) -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable masks of a thread; 0 is the caller."""
    masks = ffi.new("uint64_t[3]")
    _checked(lib.nb_capget(pid, masks, masks + 1, masks + 2))
    return masks[0], masks[1], masks[2]


def capset(*, effective: int, permitted: int, inheritable: int) -> None:
    """Set three sets of the calling thread to these masks."""
    _checked(lib.nb_capset(effective, permitted, inheritable))


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    """Return what prctl(2) returns for an option whose arguments are numbers."""
    return _checked(lib.nb_prctl(option, a, b, c, d))


def openat2(dirfd: int, path: Path, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Return a new descriptor; ``resolve`` is made of RESOLVE_*."""
    return _checked(lib.nb_openat2(dirfd, _text(path), flags, mode, resolve), path)


def faccessat2(dirfd: int, path: Path, mode: int, flags: int = 0) -> None:
    """Check a file's permissions without opening it; raises OSError with the reason."""
    _checked(lib.nb_faccessat2(dirfd, _text(path), mode, flags), path)


def fstatfs_type(fd: int) -> int:
    """Return the magic number of the file system that a descriptor is on. Source: statfs(2)."""
    return _checked(lib.nb_fstatfs_type(fd))


class CachedStat(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel holds of a file without asking the server of its file system."""

    inode: int
    mode: int  # type and permissions, as st_mode
    block_size: int  # bytes


def stat_cached(path: Path) -> CachedStat:
    """Return what is known of the file that a path names; a link is not followed.

    The mount that a path ends at is not asked, so that a server which hangs holds nobody; those on
    the way to it are. Source: statx(2), AT_STATX_DONT_SYNC.
    """
    facts = ffi.new("struct nb_cached_stat *")
    _checked(lib.nb_stat_cached(_text(path), facts), path)
    return CachedStat(inode=facts.inode, mode=facts.mode, block_size=facts.block_size)


def open_tree(dirfd: int, path: Path, flags: int) -> int:
    """Return a descriptor of a mount, with OPEN_TREE_CLONE of a detached copy of it."""
    return _checked(lib.nb_open_tree(dirfd, _text(path), flags), path)


def move_mount(
    from_dirfd: int, from_path: Path, to_dirfd: int, to_path: Path, flags: int = 0
) -> None:
    """Attach a detached mount, or move an attached one."""
    result = lib.nb_move_mount(from_dirfd, _text(from_path), to_dirfd, _text(to_path), flags)
    _checked(result, from_path, to_path)


def fsopen(fstype: str, flags: int = 0) -> int:
    """Return a descriptor that configures a new file system of this type."""
    return _checked(lib.nb_fsopen(_text(fstype), flags), fstype)


def fsconfig(
    fd: int, command: int, key: str | None = None, value: Path | None = None, aux: int = 0
) -> None:
    """Hand one parameter, or a command, to the file system that ``fd`` configures."""
    _checked(lib.nb_fsconfig(fd, command, _optional(key), _optional(value), aux), key, value)


def fsmount(fd: int, flags: int = 0, attributes: int = 0) -> int:
    """Return a descriptor of a new detached mount; ``attributes`` is made of MOUNT_ATTR_*."""
    return _checked(lib.nb_fsmount(fd, flags, attributes))


def mount_setattr(  # noqa: PLR0913 - it is the system call's own list
    dirfd: int,
    path: Path,
    flags: int,
    *,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns: int = 0,
) -> None:
    """Change the attributes (MOUNT_ATTR_*) and the propagation (MS_*) of a mount.

    ``userns`` is the descriptor that MOUNT_ATTR_IDMAP asks for.
    """
    result = lib.nb_mount_setattr(dirfd, _text(path), flags, set_, clear, propagation, userns)
    _checked(result, path)


def mount(
    source: Path | None,
    target: Path,
    fstype: str | None,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """Mount in the manner of mount(2)."""
    result = lib.nb_mount(
        _optional(source), _text(target), _optional(fstype), flags, _optional(data)
    )
    _checked(result, source, target)


def umount2(target: Path, flags: int = 0) -> None:
    """Detach a mount."""
    _checked(lib.nb_umount2(_text(target), flags), target)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """Change the root mount of the calling process's mount namespace."""
    _checked(lib.nb_pivot_root(_text(new_root), _text(put_old)), new_root, put_old)


def setns(fd: int, types: int = 0) -> None:
    """Move the calling thread into a namespace, or into those of a pidfd's process."""
    _checked(lib.nb_setns(fd, types))


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces."""
    _checked(lib.nb_unshare(flags))


def ns_get_parent(fd: int) -> int:
    """Return a descriptor of the parent of a namespace; EPERM when it is out of sight.

    Source: ioctl_ns(2), NS_GET_PARENT.
    """
    return _checked(lib.nb_ns_get_parent(fd))


def ns_get_userns(fd: int) -> int:
    """Return a descriptor of the user namespace that owns a namespace.

    EPERM when that is neither ours nor one in ours. Source: ioctl_ns(2), NS_GET_USERNS.
    """
    return _checked(lib.nb_ns_get_userns(fd))


def ns_get_owner_uid(fd: int) -> int:
    """Return the uid that made a user namespace. Source: ioctl_ns(2), NS_GET_OWNER_UID."""
    return _checked(lib.nb_ns_get_owner_uid(fd))


def ns_get_nstype(fd: int) -> int:
    """Return the flag of clone(2) of a namespace. Source: ioctl_ns(2), NS_GET_NSTYPE."""
    return _checked(lib.nb_ns_get_nstype(fd))


def pidfd_open(pid: int, flags: int = 0) -> int:
    """Return a descriptor of a process; it is close-on-exec."""
    return _checked(lib.nb_pidfd_open(pid, flags))


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Send a signal to the process of a descriptor."""
    _checked(lib.nb_pidfd_send_signal(pidfd, signal))


def close_range(first: int, last: int, flags: int = 0) -> None:
    """Close descriptors from ``first`` to ``last``, or mark them close-on-exec."""
    _checked(lib.nb_close_range(first, last, flags))


def memfd_create(name: str, flags: int = 0) -> int:
    """Return a descriptor of a new file in memory."""
    return _checked(lib.nb_memfd_create(_text(name), flags), name)


def seccomp(operation: int, flags: int, argument: object = None) -> int:
    """Return what seccomp(2) returns; ``argument`` is a pointer of cffi, or None."""
    return _checked(lib.nb_seccomp(operation, flags, ffi.NULL if argument is None else argument))


def keyctl(operation: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    """Return what keyctl(2) returns for an operation whose arguments are numbers."""
    return _checked(lib.nb_keyctl(operation, a, b, c, d))


def bpf_prog_load(kind: int, instructions: bytes, license_: str) -> int:
    """Return a descriptor of a new BPF program; it is close-on-exec. Source: bpf(2)."""
    count = len(instructions) // 8  # sizeof(struct bpf_insn)
    result = lib.nb_bpf_prog_load(kind, instructions, count, license_.encode(), ffi.NULL, 0)
    return _checked(result)


def bpf_prog_attach(
    target: int, program: int, kind: int, flags: int = 0, *, replaced: int = -1
) -> None:
    """Attach a program to a cgroup, in the place of another one if that is given."""
    _checked(lib.nb_bpf_prog_attach(target, program, kind, flags, replaced))


def bpf_prog_detach(target: int, program: int, kind: int) -> None:
    """Detach a program from a cgroup."""
    _checked(lib.nb_bpf_prog_detach(target, program, kind))


def bpf_prog_query(target: int, kind: int, room: int = 64) -> tuple[int, ...]:
    """Return the ids of the programs attached to a cgroup; ENOSPC when there are more of them."""
    ids, count = ffi.new("uint32_t[]", room), ffi.new("uint32_t *", room)
    _checked(lib.nb_bpf_prog_query(target, kind, ids, count))
    return tuple(ids[place] for place in range(count[0]))


def bpf_prog_get_fd_by_id(number: int) -> int:
    """Return a descriptor of a program that somebody loaded; it is close-on-exec."""
    return _checked(lib.nb_bpf_prog_get_fd_by_id(number))
