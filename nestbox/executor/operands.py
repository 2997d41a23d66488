"""Each step -> its operation of plan.h with its operands. Pure."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

from nestbox.errors import UsageError
from nestbox.executor._abi import ffi
from nestbox.kernel import constants
from nestbox.kernel.capabilities import HIGHEST_NUMBER
from nestbox.kernel.mount_names import (
    ATIME_ATTRIBUTES,
    ATIME_FIELD,
    PROPAGATION,
    attribute_bits,
)
from nestbox.kernel.namespaces import FLAG
from nestbox.kernel.rlimits import RLIMITS
from nestbox.plan import steps as s

_abi = ffi.dlopen(None)
_BLOB_ALIGNMENT: Final = 8
_WORD_BITS: Final = 64
_MILLISECONDS: Final = 1000
_EVERY_PROCESSOR: Final = b"\xff" * 1024  # 8,192: the most that kernels for x86-64 are built for

_FILE_TYPES: Final = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_RLIM_INFINITY: Final = (1 << 64) - 1
# Source: include/uapi/linux/sched/types.h, struct sched_attr as of Linux 3.14.
_SCHED_ATTR: Final = struct.Struct("=IIQiIQQQ")
# Source: include/uapi/linux/magic.h.
_SYSTEMS: Final = {"": 0, "proc": constants.PROC_SUPER_MAGIC, "devpts": 0x1CD1}

# Source: mount(2), flags of the whole file system.
_MOUNT_FLAGS: Final = {"ro": 1, "sync": 16, "mand": 64, "dirsync": 128, "lazytime": 1 << 25}

# The text operands and then the numbers of one step.
_Operands = tuple[tuple[int, ...], tuple[int, ...]]


class Text:
    """The text section: strings and blobs, addressed by offset; equal strings are stored once."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")  # offset 0 is the empty string
        self.offsets: dict[str, int] = {"": 0}

    def string(self, value: str) -> int:
        """Return the offset of one string."""
        offset = self.offsets.get(value)
        if offset is None:
            offset = self.offsets[value] = self.strings((value,))
        return offset

    def strings(self, values: tuple[str, ...]) -> int:
        """Append strings one after another and return the offset of the first."""
        offset = len(self.data)
        for value in values:
            encoded = os.fsencode(value)
            if b"\0" in encoded:
                raise UsageError(
                    f"cannot pass {value[:40]!r} to the kernel",
                    cause="it has a NUL byte, which ends every string there",
                    remedy="remove the NUL byte",
                )
            self.data += encoded
            self.data.append(0)
        return offset if values else 0

    def blob(self, value: bytes) -> int:
        """Append bytes at an aligned offset and return it."""
        self.data += bytes(-len(self.data) % _BLOB_ALIGNMENT)
        offset = len(self.data)
        self.data += value
        return offset

    def finish(self) -> bytes:
        """Return the section; its last byte is NUL even after a blob."""
        return bytes(self.data) + b"\0"


def _nothing(_: s.Step, __: Text) -> _Operands:
    return (), ()


def _name(step: Any, text: Text) -> _Operands:
    return (text.string(step.name),), ()


def _mask(step: Any, _: Text) -> _Operands:
    return (), (step.mask,)


def _slot(step: Any, _: Text) -> _Operands:
    return (), (step.slot,)


def _path(step: Any, text: Text) -> _Operands:
    return (text.string(step.path),), ()


def _bits(numbers: Iterable[int]) -> bytes:
    """Return words of 64 bits with these set, as many as the highest needs."""
    mask = sum(1 << number for number in set(numbers))
    words = -(-mask.bit_length() // _WORD_BITS)
    return mask.to_bytes(words * _BLOB_ALIGNMENT, "little")


def _words(blob: bytes) -> int:
    return len(blob) // _BLOB_ALIGNMENT


def _open_namespace(step: s.OpenNamespace, text: Text) -> _Operands:
    return (text.string(step.path),), (s.NAMESPACE_SLOTS[step.namespace], FLAG[step.namespace])


def _time_offsets(step: s.TimeOffsets, text: Text) -> _Operands:
    lines = "".join(f"{clock} {seconds} {rest}\n" for clock, seconds, rest in step.offsets)
    return (text.string(lines),), ()


def _hook(step: s.Hook, text: Text) -> _Operands:
    texts = (text.string(step.path), text.strings(step.argv), text.strings(step.environment))
    limit = (step.timeout_seconds or 0) * _MILLISECONDS
    return texts, (len(step.argv), len(step.environment), limit)


def _scheduler(step: s.Scheduler, text: Text) -> _Operands:
    times = (step.runtime, step.deadline, step.period)
    size = _SCHED_ATTR.size
    packed = _SCHED_ATTR.pack(size, step.policy, step.flags, step.nice, step.priority, *times)
    return (text.blob(packed),), (size,)


def _affinity(step: s.Affinity, text: Text) -> _Operands:
    blob = _bits(step.processors) or _EVERY_PROCESSOR
    return (text.blob(blob),), (_words(blob),)


def _memory_policy(step: s.MemoryPolicy, text: Text) -> _Operands:
    blob = _bits(step.nodes)
    return (text.blob(blob),), (step.mode, _words(blob))


def _seccomp(step: s.LoadSeccomp, text: Text) -> _Operands:
    flags = step.flags
    if step.listener:
        # The kernel refuses both together, and we are but one thread.
        flags &= ~constants.SECCOMP_FILTER_FLAG_TSYNC
        flags |= constants.SECCOMP_FILTER_FLAG_NEW_LISTENER
    return (text.blob(step.program),), (_words(step.program), flags)


def _console(step: s.Console, text: Text) -> _Operands:
    return (text.string(step.target),), (step.uid, step.base, *(step.size or (0, 0)))


def _reconfigure(step: s.Reconfigure, text: Text) -> _Operands:
    pairs = tuple(word for pair in step.options for word in pair)
    return (text.strings(pairs),), (step.slot, len(pairs))


def _below(step: s.CopyUp, text: Text) -> _Operands:
    return (text.string(step.target),), (step.slot, step.base)


def _copy_tree(step: s.CopyTree, text: Text) -> _Operands:
    how = (
        step.shallow * _abi.NB_COPY_SHALLOW
        | step.lenient * _abi.NB_COPY_LENIENT
        | step.plain * _abi.NB_COPY_PLAIN
    )
    return (text.string(step.source), text.string(step.target)), (how, step.limit)


def _unshare(step: s.Unshare, _: Text) -> _Operands:
    return (), (namespace_flags(step.namespaces),)


def namespace_flags(names: tuple[str, ...]) -> int:
    """Return the CLONE_NEW* bits of these namespaces."""
    flags = 0
    for name in names:
        flags |= FLAG[name]
    return flags


def _limit(value: int | None) -> int:
    return _RLIM_INFINITY if value is None else value


def _rlimit(step: s.Rlimit, _: Text) -> _Operands:
    return (), (RLIMITS[step.name], _limit(step.soft), _limit(step.hard))


def _open_tree(step: s.OpenTree, text: Text) -> _Operands:
    kind = _FILE_TYPES[step.kind] if step.kind else 0
    device = os.makedev(step.major, step.minor) if step.kind else 0
    numbers = (step.slot, step.base, step.recursive, kind, device, step.straight)
    return (text.string(step.path),), numbers


def _new_fs(step: s.NewFs, text: Text) -> _Operands:
    pairs = tuple(word for pair in step.options for word in pair)
    return (
        (text.string(step.fstype), text.strings(pairs), text.string(step.mode_of)),
        (step.slot, len(pairs), attribute_bits(step.attributes), step.base),
    )


def _old_fs(step: s.OldFs, text: Text) -> _Operands:
    data = ",".join(f"{key}={value}" if value else key for key, value in step.options)
    flags = sum(_MOUNT_FLAGS[name] for name in step.flags)
    texts = (text.string(step.fstype), text.string(step.source), text.string(data))
    return texts, (step.slot, flags, s.SLOT_SCRATCH)


def _set_attr(step: s.SetAttr, _: Text) -> _Operands:
    cleared = attribute_bits(step.cleared)
    if not ATIME_ATTRIBUTES.isdisjoint({*step.attributes, *step.cleared}):
        # A value of the atime field can only be changed together with clearing the whole field.
        cleared |= ATIME_FIELD
    propagation = PROPAGATION[step.propagation] if step.propagation else 0
    attributes = attribute_bits(step.attributes)
    numbers = (step.slot, attributes, cleared, propagation, step.recursive, step.attached)
    return (), numbers


def _make_device(step: s.MakeDevice, text: Text) -> _Operands:
    mode = _FILE_TYPES[step.kind] | step.mode
    device = os.makedev(step.major, step.minor)
    return (text.string(step.name),), (step.base, mode, device, step.uid, step.gid)


def _ids(step: s.Ids, text: Text) -> _Operands:
    groups = step.groups or ()
    blob = text.blob(struct.pack(f"={len(groups)}I", *groups))
    return (blob,), (step.uid, step.gid, len(groups), step.groups is not None)


def _verify(step: s.Verify, _: Text) -> _Operands:
    sets = (step.inheritable, step.permitted, step.effective, step.bounding, step.ambient)
    return (), (*sets, min(step.last, HIGHEST_NUMBER))


def _exec(step: s.Exec, text: Text) -> _Operands:
    lists = (step.argv, step.environment, step.candidates)
    return tuple(text.strings(x) for x in lists), tuple(len(x) for x in lists)


_Encoder = Callable[[Any, Text], _Operands]
ENCODERS: dict[type[s.Step], tuple[int, _Encoder]] = {
    s.Sync: (_abi.NB_OP_SYNC, _nothing),
    s.Receive: (_abi.NB_OP_RECEIVE, _slot),
    s.Lend: (_abi.NB_OP_LEND, _slot),
    s.WaitForStart: (_abi.NB_OP_WAIT_START, _nothing),
    s.Hook: (_abi.NB_OP_HOOK, _hook),
    s.ParentDeath: (_abi.NB_OP_PARENT_DEATH, lambda x, t: ((), (x.signal,))),
    s.Dumpable: (_abi.NB_OP_DUMPABLE, lambda x, t: ((), (x.value,))),
    s.Keyring: (_abi.NB_OP_KEYRING, _nothing),
    s.Unshare: (_abi.NB_OP_UNSHARE, _unshare),
    s.OpenNamespace: (_abi.NB_OP_OPEN_NAMESPACE, _open_namespace),
    s.JoinNamespaces: (_abi.NB_OP_JOIN, _nothing),
    s.TimeOffsets: (_abi.NB_OP_TIME_OFFSETS, _time_offsets),
    s.Fork: (_abi.NB_OP_FORK, _nothing),
    s.Domainname: (_abi.NB_OP_DOMAINNAME, _name),
    s.Hostname: (_abi.NB_OP_HOSTNAME, _name),
    s.Loopback: (_abi.NB_OP_LOOPBACK, _nothing),
    s.Session: (_abi.NB_OP_SESSION, _nothing),
    s.Umask: (_abi.NB_OP_UMASK, _mask),
    s.Rlimit: (_abi.NB_OP_RLIMIT, _rlimit),
    s.ProcWrite: (
        _abi.NB_OP_PROC_WRITE,
        lambda x, t: ((t.string(x.path), t.string(x.value)), (x.base,)),
    ),
    s.Label: (
        _abi.NB_OP_LABEL,
        lambda x, t: ((t.string(x.path), t.string(x.alternative), t.string(x.value)), (x.base,)),
    ),
    s.Propagation: (
        _abi.NB_OP_PROPAGATION,
        lambda x, t: ((), (PROPAGATION[x.propagation], x.recursive)),
    ),
    s.OpenTree: (_abi.NB_OP_OPEN_TREE, _open_tree),
    s.NewFs: (_abi.NB_OP_NEW_FS, _new_fs),
    s.OldFs: (_abi.NB_OP_OLD_FS, _old_fs),
    s.SetAttr: (_abi.NB_OP_SET_ATTR, _set_attr),
    s.OldMounts: (_abi.NB_OP_OLD_MOUNTS, _nothing),
    s.Attach: (
        _abi.NB_OP_ATTACH,
        lambda x, t: ((t.string(x.target),), (x.slot, x.how, x.mode, x.base)),
    ),
    s.AttachRoot: (_abi.NB_OP_ATTACH_ROOT, lambda x, t: ((t.string(x.path),), (x.slot,))),
    s.OpenTarget: (
        _abi.NB_OP_OPEN_TARGET,
        lambda x, t: ((t.string(x.target),), (x.slot, x.how, x.base)),
    ),
    s.Reconfigure: (_abi.NB_OP_RECONFIGURE, _reconfigure),
    s.CopyUp: (_abi.NB_OP_COPY_UP, _below),
    s.MountFuse: (_abi.NB_OP_FUSE, lambda x, t: ((), (x.slot, attribute_bits(x.attributes)))),
    s.CopyTree: (_abi.NB_OP_COPY_TREE, _copy_tree),
    s.PrivateParent: (_abi.NB_OP_PRIVATE_PARENT, _path),
    s.Uncover: (
        _abi.NB_OP_UNCOVER,
        lambda x, t: ((t.string(x.path),), (s.SLOT_SCRATCH, x.cover)),
    ),
    s.KeepSlot: (_abi.NB_OP_KEEP_SLOT, lambda x, t: ((), (x.source, x.target))),
    s.OpenDirectory: (
        _abi.NB_OP_OPEN_DIR,
        lambda x, t: ((t.string(x.path),), (x.slot, _SYSTEMS[x.system])),
    ),
    s.MakeDirectory: (
        _abi.NB_OP_MKDIR,
        lambda x, t: ((t.string(x.name), t.string(x.like)), (x.base, x.mode, x.lenient)),
    ),
    s.MakeFile: (
        _abi.NB_OP_MAKE_FILE,
        lambda x, t: ((t.string(x.name), t.string(x.text)), (x.base, x.mode)),
    ),
    s.EnterDirectory: (_abi.NB_OP_FCHDIR, _slot),
    s.Mask: (
        _abi.NB_OP_MASK,
        lambda x, t: ((t.string(x.path),), (s.SLOT_NULL, s.SLOT_SCRATCH, x.base)),
    ),
    s.ReadOnly: (_abi.NB_OP_READONLY, lambda x, t: ((t.string(x.path),), (x.base,))),
    s.MakeDevice: (_abi.NB_OP_DEVICE, _make_device),
    s.MakeLink: (
        _abi.NB_OP_SYMLINK,
        lambda x, t: ((t.string(x.name), t.string(x.value)), (x.base, x.how)),
    ),
    s.MakeDirectories: (
        _abi.NB_OP_MAKE_DIRS,
        lambda x, t: ((t.string(x.path),), (x.mode,)),
    ),
    s.Pivot: (_abi.NB_OP_PIVOT, _nothing),
    s.Chroot: (_abi.NB_OP_CHROOT, lambda x, t: ((), (x.move,))),
    s.ChangeDirectory: (_abi.NB_OP_CHDIR, lambda x, t: ((t.string(x.path),), (x.when,))),
    s.Console: (_abi.NB_OP_CONSOLE, _console),
    s.OwnStreams: (_abi.NB_OP_OWN_STREAMS, lambda x, t: ((), (x.uid,))),
    s.Scheduler: (_abi.NB_OP_SCHEDULER, _scheduler),
    s.IoPriority: (_abi.NB_OP_IO_PRIORITY, lambda x, t: ((), (x.priority,))),
    s.Affinity: (_abi.NB_OP_AFFINITY, _affinity),
    s.MemoryPolicy: (_abi.NB_OP_MEMORY_POLICY, _memory_policy),
    s.Personality: (_abi.NB_OP_PERSONALITY, lambda x, t: ((), (x.value,))),
    s.DropBounding: (_abi.NB_OP_DROP_BOUNDING, _mask),
    s.Ids: (_abi.NB_OP_IDS, _ids),
    s.Capset: (
        _abi.NB_OP_CAPSET,
        lambda x, t: ((), (x.effective, x.permitted, x.inheritable)),
    ),
    s.RaiseEffective: (_abi.NB_OP_RAISE, _nothing),
    s.Ambient: (_abi.NB_OP_AMBIENT, _mask),
    s.NoNewPrivs: (_abi.NB_OP_NO_NEW_PRIVS, _nothing),
    s.LoadSeccomp: (_abi.NB_OP_SECCOMP, _seccomp),
    s.Verify: (_abi.NB_OP_VERIFY, _verify),
    s.Init: (_abi.NB_OP_INIT, _nothing),
    s.FindProgram: (
        _abi.NB_OP_FIND_PROGRAM,
        lambda x, t: ((t.strings(x.candidates),), (len(x.candidates),)),
    ),
    s.Preserve: (_abi.NB_OP_PRESERVE, lambda x, t: ((), (x.count,))),
    s.Exec: (_abi.NB_OP_EXEC, _exec),
}
