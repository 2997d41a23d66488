"""Which plans are well-formed, told a second time from plan.h, to compare the executor with.

It is written from the comments of the header and shares nothing with the encoder or the executor.
"""

from __future__ import annotations

import struct

from nestbox.executor._abi import ffi

ABI = ffi.dlopen(None)
HEADER = struct.Struct("=4I")
STEP = struct.Struct("=4I6Q")

# Per operation: which numbers are slots, which one may be NB_SLOT_NONE besides, which texts are
# lists (text, number of their count), and the (count, size) of the blob that text 0 is.
SLOTS = {
    ABI.NB_OP_OPEN_TREE: (0,),
    ABI.NB_OP_NEW_FS: (0,),
    ABI.NB_OP_SET_ATTR: (0,),
    ABI.NB_OP_ATTACH: (0, 3),
    ABI.NB_OP_ATTACH_ROOT: (0,),
    ABI.NB_OP_KEEP_SLOT: (0, 1),
    ABI.NB_OP_OPEN_DIR: (0,),
    ABI.NB_OP_MKDIR: (0,),
    ABI.NB_OP_MAKE_FILE: (0,),
    ABI.NB_OP_FCHDIR: (0,),
    ABI.NB_OP_MASK: (0, 1, 2),
    ABI.NB_OP_READONLY: (0,),
    ABI.NB_OP_DEVICE: (0,),
    ABI.NB_OP_SYMLINK: (0,),
    ABI.NB_OP_CONSOLE: (1,),
    ABI.NB_OP_OPEN_NAMESPACE: (0,),
    ABI.NB_OP_RECEIVE: (0,),
    ABI.NB_OP_OPEN_TARGET: (0, 2),
    ABI.NB_OP_RECONFIGURE: (0,),
    ABI.NB_OP_COPY_UP: (0, 1),
    ABI.NB_OP_LEND: (0,),
    ABI.NB_OP_OLD_FS: (0, 2),
    ABI.NB_OP_UNCOVER: (0,),
}
BASES = {ABI.NB_OP_OPEN_TREE: 1, ABI.NB_OP_NEW_FS: 3, ABI.NB_OP_PROC_WRITE: 0, ABI.NB_OP_LABEL: 0}
LISTS = {
    ABI.NB_OP_NEW_FS: ((1, 1),),
    ABI.NB_OP_RECONFIGURE: ((0, 1),),
    ABI.NB_OP_HOOK: ((1, 0), (2, 1)),
    ABI.NB_OP_FIND_PROGRAM: ((0, 0),),
    ABI.NB_OP_EXEC: ((0, 0), (1, 1), (2, 2)),
}
BLOBS = {
    ABI.NB_OP_IDS: (2, 4),
    ABI.NB_OP_SECCOMP: (0, 8),
    ABI.NB_OP_SCHEDULER: (0, 1),
    ABI.NB_OP_AFFINITY: (0, 8),
    ABI.NB_OP_MEMORY_POLICY: (1, 8),
}
OPERATIONS = frozenset(
    getattr(ABI, name) for name in dir(ABI) if name.startswith("NB_OP_") and name != "NB_OP_END"
)


def is_well_formed(plan: bytes) -> bool:
    """Return whether the executor has to accept these bytes."""
    if len(plan) < HEADER.size or len(plan) > ABI.NB_MAX_PLAN:
        return False
    magic, version, count, length = HEADER.unpack_from(plan)
    if (magic, version) != (ABI.NB_MAGIC, ABI.NB_VERSION) or not 0 < count <= ABI.NB_MAX_STEPS:
        return False
    start = HEADER.size + count * STEP.size
    if length == 0 or len(plan) != start + length or plan[-1] != 0:
        return False
    text = plan[start:]
    return all(
        _step_fits(text, *STEP.unpack_from(plan, HEADER.size + i * STEP.size)) for i in range(count)
    )


def _step_fits(text: bytes, operation: int, *operands: int) -> bool:
    offsets, numbers = operands[:3], operands[3:]
    if operation not in OPERATIONS or any(offset >= len(text) for offset in offsets):
        return False
    if any(numbers[i] >= ABI.NB_SLOTS for i in SLOTS.get(operation, ())):
        return False
    base = numbers[BASES[operation]] if operation in BASES else 0
    if base >= ABI.NB_SLOTS and base != ABI.NB_SLOT_NONE:
        return False
    if operation in BLOBS:
        count, size = BLOBS[operation]
        if offsets[0] % 8 or offsets[0] + numbers[count] * size > len(text):
            return False
    return all(
        text.count(b"\0", offsets[at]) >= numbers[count] for at, count in LISTS.get(operation, ())
    )
