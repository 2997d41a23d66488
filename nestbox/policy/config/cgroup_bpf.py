"""The device rules of a container as a program for cgroup v2. Pure.

A program of type BPF_PROG_TYPE_CGROUP_DEVICE gets a ``struct bpf_cgroup_dev_ctx`` and returns 1 to
allow the access, 0 to refuse it. It tests the exceptions one after the other; what none of them is
about has the default. There is no loop and no memory beside the context.

Source: linux/bpf.h, linux/bpf_common.h; Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.policy.config.cgroup_devices import ALL_ACCESS, ANY, Match, RuleSet

LICENSE: Final = "Apache-2.0"  # no helper is called, so the kernel does not ask for another one

_LOAD_WORD: Final = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SHIFT_RIGHT: Final = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_COPY: Final = 0xBC  # BPF_ALU | BPF_MOV | BPF_X
_SET: Final = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_SKIP_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_SKIP_UNEQUAL: Final = 0x55  # BPF_JMP | BPF_JNE | BPF_K
_SKIP_DIFFERENT: Final = 0x5D  # BPF_JMP | BPF_JNE | BPF_X
_EXIT: Final = 0x95

_RESULT, _SCRATCH, _KIND, _ACCESS, _MAJOR, _MINOR = range(6)  # registers; R1 begins as the context
_KINDS: Final = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR


class Instruction(msgspec.Struct, frozen=True):
    """One ``struct bpf_insn``."""

    code: int
    target: int = 0
    source: int = 0
    offset: int = 0
    value: int = 0


def device_program(rules: RuleSet) -> tuple[Instruction, ...]:
    """Return the program that enforces a set of rules."""
    program = [
        Instruction(_LOAD_WORD, _KIND, 1, 0),  # access_type: the kind below, the access above
        Instruction(_AND, _KIND, value=0xFFFF),
        Instruction(_LOAD_WORD, _ACCESS, 1, 0),
        Instruction(_SHIFT_RIGHT, _ACCESS, value=16),
        Instruction(_LOAD_WORD, _MAJOR, 1, 4),
        Instruction(_LOAD_WORD, _MINOR, 1, 8),
    ]
    for match in sorted(rules.exceptions):
        program += _exception(match, rules.exceptions[match], allow=not rules.allows)
    return (*program, *_answer(allow=rules.allows))


def _exception(match: Match, access: int, *, allow: bool) -> list[Instruction]:
    """Return the test of one exception: what is not the same in it skips to the next one."""
    tests = [Instruction(_SKIP_UNEQUAL, _KIND, value=_KINDS[match.kind])]
    if access != ALL_ACCESS:
        tests += [Instruction(_COPY, _SCRATCH, _ACCESS), Instruction(_AND, _SCRATCH, value=access)]
        # Allowed is what asks for nothing else; refused, what asks for any of it.
        tests.append(
            Instruction(_SKIP_DIFFERENT, _SCRATCH, _ACCESS)
            if allow
            else Instruction(_SKIP_EQUAL, _SCRATCH, value=0)
        )
    if match.major != ANY:
        tests.append(Instruction(_SKIP_UNEQUAL, _MAJOR, value=match.major))
    if match.minor != ANY:
        tests.append(Instruction(_SKIP_UNEQUAL, _MINOR, value=match.minor))
    answer = _answer(allow=allow)
    end = len(tests) + len(answer)
    skips = {_SKIP_EQUAL, _SKIP_UNEQUAL, _SKIP_DIFFERENT}
    return [
        msgspec.structs.replace(test, offset=end - place - 1) if test.code in skips else test
        for place, test in enumerate(tests)
    ] + answer


def _answer(*, allow: bool) -> list[Instruction]:
    return [Instruction(_SET, _RESULT, value=int(allow)), Instruction(_EXIT)]


def encode(program: tuple[Instruction, ...], byte_order: str) -> bytes:
    """Return the program as the kernel takes it; ``byte_order`` is that of sys.byteorder."""
    little = byte_order == "little"
    encoded = bytearray()
    for one in program:
        registers = one.source << 4 | one.target if little else one.target << 4 | one.source
        encoded += bytes((one.code, registers))
        encoded += (one.offset & 0xFFFF).to_bytes(2, "little" if little else "big")
        encoded += (one.value & 0xFFFF_FFFF).to_bytes(4, "little" if little else "big")
    return bytes(encoded)
