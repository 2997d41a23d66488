"""LaunchPlan -> bytes and back for reports, with the layout of plan.h. Pure."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.executor._abi import ffi
from nestbox.kernel.capabilities import HIGHEST_NUMBER
from nestbox.kernel.mount_names import (
    ATIME_ATTRIBUTES,
    ATIME_FIELD,
    PROPAGATION,
    attribute_bits,
)
from nestbox.kernel.namespaces import FLAG
from nestbox.kernel.rlimits import RLIMITS
from nestbox.outer.facts import CapabilitySets
from nestbox.plan import steps as s

_abi = ffi.dlopen(None)
_BLOB_ALIGNMENT: Final = 8

_FILE_TYPES: Final = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}
_RLIM_INFINITY: Final = (1 << 64) - 1

# The text operands and then the numbers of one step.
_Operands = tuple[tuple[int, ...], tuple[int, ...]]


class _Text:
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


def encode(plan: s.LaunchPlan) -> bytes:
    """Return the bytes that the executor reads: header, steps, text.

    Raises:
        UsageError: a string of the plan has a NUL byte, or the plan is larger than NB_MAX_PLAN.
    """
    text = _Text()
    cells = []
    for step in plan.steps:
        op, encoder = _ENCODERS[type(step)]
        cells.append((op, *encoder(step, text)))
    # One call with all of them: what is not named in a cell is zero.
    steps = ffi.new("struct nb_step[]", cells)
    section = text.finish()
    header = ffi.new(
        "struct nb_header *", (_abi.NB_MAGIC, _abi.NB_VERSION, len(plan.steps), len(section))
    )
    data = bytes(ffi.buffer(header)) + bytes(ffi.buffer(steps)) + section
    if len(data) > _abi.NB_MAX_PLAN:
        raise UsageError(
            "the launch does not fit into a plan",
            cause=f"it needs {len(data)} bytes, more than {_abi.NB_MAX_PLAN}",
            remedy="pass fewer or shorter arguments and variables",
        )
    return data


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the executor. ``step`` is -1 when the plan itself was refused."""

    kind: int
    step: int
    errno: int
    sets: CapabilitySets
    message: str


FAILED: Final = int(_abi.NB_REPORT_FAILED)
SYNC: Final = int(_abi.NB_REPORT_SYNC)
CONSOLE: Final = int(_abi.NB_REPORT_CONSOLE)
SETS: Final = int(_abi.NB_REPORT_SETS)
REPORT_SIZE: Final = int(ffi.sizeof("struct nb_report"))


def decode_report(data: bytes) -> Report:
    """Return one struct nb_report.

    Raises:
        ValueError: the bytes are not one report.
    """
    if len(data) != REPORT_SIZE:
        raise ValueError(f"a report has {REPORT_SIZE} bytes, not {len(data)}")
    report = ffi.from_buffer("struct nb_report *", data)
    inheritable, permitted, effective, bounding, ambient, _ = report.value
    return Report(
        kind=report.kind,
        step=report.step,
        errno=report.err,
        sets=CapabilitySets(
            inheritable=inheritable,
            permitted=permitted,
            effective=effective,
            bounding=bounding,
            ambient=ambient,
        ),
        message=ffi.string(report.message).decode(errors="replace").strip(),
    )


def _nothing(_: s.Step, __: _Text) -> _Operands:
    return (), ()


def _name(step: Any, text: _Text) -> _Operands:
    return (text.string(step.name),), ()


def _mask(step: Any, _: _Text) -> _Operands:
    return (), (step.mask,)


def _slot(step: Any, _: _Text) -> _Operands:
    return (), (step.slot,)


def _unshare(step: s.Unshare, _: _Text) -> _Operands:
    return (), (namespace_flags(step.namespaces),)


def namespace_flags(names: tuple[str, ...]) -> int:
    """Return the CLONE_NEW* bits of these namespaces."""
    flags = 0
    for name in names:
        flags |= FLAG[name]
    return flags


def _limit(value: int | None) -> int:
    return _RLIM_INFINITY if value is None else value


def _rlimit(step: s.Rlimit, _: _Text) -> _Operands:
    return (), (RLIMITS[step.name], _limit(step.soft), _limit(step.hard))


def _open_tree(step: s.OpenTree, text: _Text) -> _Operands:
    kind = _FILE_TYPES[step.kind] if step.kind else 0
    device = os.makedev(step.major, step.minor) if step.kind else 0
    return (text.string(step.path),), (step.slot, step.base, step.recursive, kind, device)


def _new_fs(step: s.NewFs, text: _Text) -> _Operands:
    pairs = tuple(word for pair in step.options for word in pair)
    return (
        (text.string(step.fstype), text.strings(pairs)),
        (step.slot, len(pairs), attribute_bits(step.attributes)),
    )


def _set_attr(step: s.SetAttr, _: _Text) -> _Operands:
    cleared = attribute_bits(step.cleared)
    if not ATIME_ATTRIBUTES.isdisjoint(step.attributes):
        # A value of the atime field can only be set together with clearing the whole field.
        cleared |= ATIME_FIELD
    propagation = PROPAGATION[step.propagation] if step.propagation else 0
    numbers = (step.slot, attribute_bits(step.attributes), cleared, propagation, step.recursive)
    return (), numbers


def _make_device(step: s.MakeDevice, text: _Text) -> _Operands:
    mode = _FILE_TYPES[step.kind] | step.mode
    device = os.makedev(step.major, step.minor)
    return (text.string(step.name),), (s.SLOT_DEV, mode, device, step.uid, step.gid)


def _ids(step: s.Ids, text: _Text) -> _Operands:
    groups = step.groups or ()
    blob = text.blob(struct.pack(f"={len(groups)}I", *groups))
    return (blob,), (step.uid, step.gid, len(groups), step.groups is not None)


def _verify(step: s.Verify, _: _Text) -> _Operands:
    sets = (step.inheritable, step.permitted, step.effective, step.bounding, step.ambient)
    return (), (*sets, min(step.last, HIGHEST_NUMBER))


def _exec(step: s.Exec, text: _Text) -> _Operands:
    lists = (step.argv, step.environment, step.candidates)
    return tuple(text.strings(x) for x in lists), tuple(len(x) for x in lists)


_Encoder = Callable[[Any, _Text], _Operands]
_ENCODERS: dict[type[s.Step], tuple[int, _Encoder]] = {
    s.Sync: (_abi.NB_OP_SYNC, _nothing),
    s.ParentDeath: (_abi.NB_OP_PARENT_DEATH, lambda x, t: ((), (x.signal,))),
    s.Dumpable: (_abi.NB_OP_DUMPABLE, lambda x, t: ((), (x.value,))),
    s.Keyring: (_abi.NB_OP_KEYRING, _nothing),
    s.Unshare: (_abi.NB_OP_UNSHARE, _unshare),
    s.Hostname: (_abi.NB_OP_HOSTNAME, _name),
    s.Loopback: (_abi.NB_OP_LOOPBACK, _nothing),
    s.Session: (_abi.NB_OP_SESSION, _nothing),
    s.Umask: (_abi.NB_OP_UMASK, _mask),
    s.Rlimit: (_abi.NB_OP_RLIMIT, _rlimit),
    s.ProcWrite: (
        _abi.NB_OP_PROC_WRITE,
        lambda x, t: ((t.string(x.path), t.string(x.value)), ()),
    ),
    s.Propagation: (_abi.NB_OP_PROPAGATION, lambda x, t: ((), (PROPAGATION[x.propagation],))),
    s.OpenTree: (_abi.NB_OP_OPEN_TREE, _open_tree),
    s.NewFs: (_abi.NB_OP_NEW_FS, _new_fs),
    s.SetAttr: (_abi.NB_OP_SET_ATTR, _set_attr),
    s.Attach: (
        _abi.NB_OP_ATTACH,
        lambda x, t: ((t.string(x.target),), (x.slot, x.how, x.mode, x.base)),
    ),
    s.AttachRoot: (_abi.NB_OP_ATTACH_ROOT, _slot),
    s.KeepSlot: (_abi.NB_OP_KEEP_SLOT, lambda x, t: ((), (x.source, x.target))),
    s.OpenDirectory: (_abi.NB_OP_OPEN_DIR, lambda x, t: ((t.string(x.path),), (x.slot,))),
    s.MakeDirectory: (_abi.NB_OP_MKDIR, lambda x, t: ((t.string(x.name),), (x.base, x.mode))),
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
        lambda x, t: ((t.string(x.name), t.string(x.value)), (s.SLOT_DEV,)),
    ),
    s.MakeDirectories: (
        _abi.NB_OP_MAKE_DIRS,
        lambda x, t: ((t.string(x.path),), (x.mode,)),
    ),
    s.Pivot: (_abi.NB_OP_PIVOT, _nothing),
    s.ChangeDirectory: (_abi.NB_OP_CHDIR, lambda x, t: ((t.string(x.path),), ())),
    s.Console: (_abi.NB_OP_CONSOLE, lambda x, t: ((t.string(x.target),), (x.uid, x.base))),
    s.DropBounding: (_abi.NB_OP_DROP_BOUNDING, _mask),
    s.Ids: (_abi.NB_OP_IDS, _ids),
    s.Capset: (
        _abi.NB_OP_CAPSET,
        lambda x, t: ((), (x.effective, x.permitted, x.inheritable)),
    ),
    s.RaiseEffective: (_abi.NB_OP_RAISE, _nothing),
    s.Ambient: (_abi.NB_OP_AMBIENT, _mask),
    s.NoNewPrivs: (_abi.NB_OP_NO_NEW_PRIVS, _nothing),
    s.LoadSeccomp: (
        _abi.NB_OP_SECCOMP,
        lambda x, t: ((t.blob(x.program),), (len(x.program) // 8, x.flags)),
    ),
    s.Verify: (_abi.NB_OP_VERIFY, _verify),
    s.Init: (_abi.NB_OP_INIT, _nothing),
    s.Exec: (_abi.NB_OP_EXEC, _exec),
}
