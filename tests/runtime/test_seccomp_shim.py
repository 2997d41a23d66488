"""The ENOSYS before a filter: its instructions, and what the kernel makes of several filters."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
import sys

import pytest

from nestbox.kernel import trials
from nestbox.runtime.seccomp_shim import ALLOW_ALL, prefix_shim

RETURN_ERRNO, RETURN_KILL, RETURN_ALLOW = 0x0005_0000, 0x8000_0000, 0x7FFF_0000
STATEMENT = struct.Struct("=HBBI")

# Loads the programs of standard input, hexadecimal and the oldest first, then makes each call of
# the names in argv with arguments that cannot succeed, and tells the errno of each.
LOADER = """
import ctypes, sys
from nestbox.kernel import trials
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
numbers = trials.syscall_numbers()
for line in sys.stdin:
    text = bytes.fromhex(line)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(Program(len(text) // 8, text))):
        raise OSError(ctypes.get_errno(), "cannot load the filter")
found = []
for name in sys.argv[1:]:
    result = libc.syscall(ctypes.c_long(numbers[name]), *[ctypes.c_long(-1)] * 6)
    found.append(ctypes.get_errno() if result < 0 else 0)
import json
print(json.dumps(found))
"""


def answering(action: int, *names: str) -> bytes:
    """Return a filter that answers these calls so, as an engine's that does not know them."""
    numbers = trials.syscall_numbers()
    rows = [(0x20, 0, 0, 0)]
    for name in names:
        rows += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, action)]
    rows.append((0x06, 0, 0, RETURN_ALLOW))
    return b"".join(STATEMENT.pack(*row) for row in rows)


def answers(filters: list[bytes], *names: str) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", LOADER, *names],
        input="".join(f"{one.hex()}\n" for one in filters),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    return list(json.loads(done.stdout))


def simulated(program: bytes, architecture: int, number: int) -> int:
    """Return what the kernel's machine returns for one call."""
    rows = list(STATEMENT.iter_unpack(program))
    accumulator = at = 0
    while True:
        code, yes, no, value = rows[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            accumulator = {0: number, 4: architecture}[value]
        elif code == 0x05:
            at += value
        else:
            assert code == 0x15
            at += yes if accumulator == value else no


def test_of_two_filters_that_answer_with_an_errno_the_later_one_s_counts() -> None:
    outer = answering(RETURN_ERRNO | errno.EPERM, "clone3", "renameat2")
    shim = prefix_shim(ALLOW_ALL, ["clone3"])
    assert answers([outer], "clone3", "renameat2") == [errno.EPERM, errno.EPERM]
    assert answers([outer, shim], "clone3", "renameat2") == [errno.ENOSYS, errno.EPERM]
    assert answers([shim, outer], "clone3", "renameat2") == [errno.EPERM, errno.EPERM]


def test_a_shim_allows_nothing_and_leaves_all_else_alone() -> None:
    shim = prefix_shim(ALLOW_ALL, ["clone3", "statx"])
    assert answers([shim], "clone3", "statx", "renameat2") == [
        errno.ENOSYS,
        errno.ENOSYS,
        errno.EINVAL,
    ]


def test_the_filter_behind_it_decides_on_every_other_call() -> None:
    inner = answering(RETURN_ERRNO | errno.EACCES, "renameat2", "clone3")
    both = prefix_shim(inner, ["clone3"])
    assert answers([both], "clone3", "renameat2") == [errno.ENOSYS, errno.EACCES]


@pytest.mark.parametrize("count", [1, 2, 18])
def test_only_the_named_calls_of_the_native_architecture_are_answered(count: int) -> None:
    numbers = trials.syscall_numbers()
    names = sorted(trials.fallback_names() | {"clone3", "statx", "openat2"})[:count]
    program = prefix_shim(ALLOW_ALL, names)
    native = trials.audit_architecture()
    assert native is not None
    shimmed = {numbers[name] for name in names}
    for number in range(600):
        wanted = RETURN_ERRNO | errno.ENOSYS if number in shimmed else RETURN_ALLOW
        assert simulated(program, native, number) == wanted
        assert simulated(program, native ^ 1, number) == RETURN_ALLOW


def test_names_that_are_not_known_are_passed_over() -> None:
    assert prefix_shim(ALLOW_ALL, ["no_such_call"]) == ALLOW_ALL
    assert prefix_shim(ALLOW_ALL, []) == ALLOW_ALL
