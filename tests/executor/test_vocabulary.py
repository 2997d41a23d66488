"""One vocabulary: the header, the steps, the encoder, the words for people and the executor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nestbox.executor._abi import ffi
from nestbox.executor.operands import ENCODERS
from nestbox.plan import steps as s
from nestbox.plan.render import _DESCRIPTIONS

ABI = ffi.dlopen(None)
EXECUTOR = Path(__file__).parents[2] / "nestbox/executor"
OPERATIONS = {
    name: getattr(ABI, name)
    for name in dir(ABI)
    if name.startswith("NB_OP_") and name != "NB_OP_END"
}
STEPS = frozenset(s.Step.__subclasses__())


def constants(prefix: str) -> dict[str, int]:
    """Return the constants of the steps whose names begin with a prefix."""
    found = {name: value for name, value in vars(s).items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if isinstance(value, int)}


def test_there_are_operations_and_steps():
    assert len(OPERATIONS) > 60
    assert len(STEPS) == len(OPERATIONS)


def test_every_operation_has_a_handler():
    table = (EXECUTOR / "init.c").read_text()
    assert set(re.findall(r"\[(NB_OP_\w+)\] = \{ \.run = op_\w+", table)) == set(OPERATIONS)


def test_every_handler_is_used_once_and_declared():
    table = (EXECUTOR / "init.c").read_text()
    used = re.findall(r"\.run = (op_\w+)", table)
    declared = re.findall(r"op_\w+(?=[,;])", (EXECUTOR / "init.h").read_text())
    assert len(used) == len(set(used))
    assert set(used) == set(declared)


def test_operations_are_different_and_below_the_end():
    assert len(set(OPERATIONS.values())) == len(OPERATIONS)
    assert min(OPERATIONS.values()) > 0
    assert max(OPERATIONS.values()) < ABI.NB_OP_END


def test_every_operation_has_an_encoder_and_every_encoder_an_operation():
    assert sorted(operation for operation, _ in ENCODERS.values()) == sorted(OPERATIONS.values())


def test_every_step_has_an_encoder_and_a_description():
    assert frozenset(ENCODERS) == STEPS
    assert frozenset(_DESCRIPTIONS) == STEPS


@pytest.mark.parametrize("prefix", ["SLOT_", "TARGET_", "CHDIR_"])
def test_numbers_of_steps_are_those_of_the_header(prefix):
    header = {
        name.removeprefix("NB_"): getattr(ABI, name)
        for name in dir(ABI)
        if name.startswith(f"NB_{prefix}")
    }
    assert constants(prefix) == header


def test_slots_have_names_in_their_order():
    numbers = {name: number for name, number in constants("SLOT_").items() if name != "SLOT_NONE"}
    assert {f"SLOT_{name.upper()}": i for i, name in enumerate(s.SLOT_NAMES)} == numbers
    assert max(numbers.values()) < ABI.NB_SLOTS <= s.SLOT_NONE


def test_targets_are_single_bits():
    bits = constants("TARGET_").values()
    assert all(bit & (bit - 1) == 0 for bit in bits)
    assert len(set(bits)) == len(bits)


def test_the_header_fits_the_structs_that_it_declares():
    assert ffi.sizeof("struct nb_header") == 16
    assert ffi.sizeof("struct nb_step") == 64
    assert len(ffi.new("struct nb_report *").message) == ABI.NB_MESSAGE
    assert len(ffi.new("struct nb_report *").value) == ABI.NB_VALUES


def test_the_fuzzer_reads_every_file_of_the_executor():
    included = re.findall(
        r'#include "../../nestbox/executor/(\w+\.c)"',
        Path(__file__).with_name("fuzz.c").read_text(),
    )
    assert sorted(included) == sorted(file.name for file in EXECUTOR.glob("*.c"))
