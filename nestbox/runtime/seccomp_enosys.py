"""The instructions before a filter that answer ENOSYS to syscalls newer than the filter.

A filter that refuses what it does not name with EPERM breaks a newer C library: it takes EPERM for
a verdict, where ENOSYS would make it fall back to an older syscall. So a syscall whose number is
above all that the filter names, and which its author could not know, is answered with ENOSYS, as
runc does.

Source: classic BPF in Documentation/networking/filter.rst; struct seccomp_data in seccomp(2).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import Final

from nestbox.kernel.libseccomp import ActionCode

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_GREATER: Final = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER: Final = 0  # offset of seccomp_data.nr
_ARCHITECTURE: Final = 4  # offset of seccomp_data.arch
_X32: Final = 0x4000_0000  # x32 shares the architecture of x86-64 and sets this bit in numbers
_PER_ARCHITECTURE: Final = 6  # instructions


def prefix_enosys(program: bytes, newest: Mapping[int, int]) -> bytes:
    """Return the program with ENOSYS for every number above the newest of its architecture.

    Args:
        program: an array of struct sock_filter that starts by loading what it looks at.
        newest: the highest number the filter names, by the architecture as in seccomp_data.
    """
    instructions = [(_LOAD, 0, 0, _ARCHITECTURE)]
    for left, (architecture, number) in zip(
        range(len(newest) - 1, -1, -1), newest.items(), strict=True
    ):
        instructions += [
            (_IF_EQUAL, 0, _PER_ARCHITECTURE - 1, architecture),
            (_LOAD, 0, 0, _NUMBER),
            (_IF_AT_LEAST, 2, 0, _X32),
            (_IF_GREATER, 0, 1, number),
            (_RETURN, 0, 0, ActionCode.SCMP_ACT_ERRNO | errno.ENOSYS),
            (_JUMP, 0, 0, left * _PER_ARCHITECTURE),
        ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions) + program
