"""The instructions before a filter that answer ENOSYS to system calls which an outer one refuses.

Which calls is a decision (policy.outer_filter); the numbers are those of the native architecture,
so a program for another one does not get the answer.

Source: classic BPF in Documentation/networking/filter.rst; struct seccomp_data in seccomp(2).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from typing import Final

from nestbox.kernel import trials

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP: Final = 0x05  # BPF_JMP | BPF_JA
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER: Final = 0  # offset of seccomp_data.nr
_ARCHITECTURE: Final = 4  # offset of seccomp_data.arch
_ALLOW: Final = 0x7FFF_0000  # SECCOMP_RET_ALLOW
_ERRNO: Final = 0x0005_0000  # SECCOMP_RET_ERRNO

ALLOW_ALL: Final = struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)


def prefix_shim(program: bytes, names: Iterable[str]) -> bytes:
    """Return the program with ENOSYS for these system calls, whatever it says of them.

    Args:
        program: an array of struct sock_filter that starts by loading what it looks at, or
            ``ALLOW_ALL``.
        names: system calls that nestbox tries; others, and all where the architecture has no known
            number in seccomp_data, are passed over.
    """
    known = trials.syscall_numbers()
    numbers = [known[name] for name in names if name in known]
    architecture = trials.audit_architecture()
    if architecture is None or not numbers:
        return program
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_JUMP, 0, 0, 1 + 2 * len(numbers)),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for number in numbers:
        instructions += [
            (_IF_EQUAL, 0, 1, number),
            (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
        ]
    return b"".join(struct.pack("=HBBI", *each) for each in instructions) + program
