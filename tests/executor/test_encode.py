"""Plan to bytes: always the same ones, all operands in place, and nothing that breaks a string."""

from __future__ import annotations

import hashlib
import struct

import msgspec
import pytest
from hypothesis import given

from nestbox.errors import UsageError
from nestbox.executor._abi import ffi
from nestbox.executor.encode import FAILED, REPORT_SIZE, decode_report, encode
from nestbox.plan import steps as s
from tests.executor.model import ABI, HEADER, STEP, is_well_formed
from tests.plan.launches import PLAIN, plan_of, plans

# Of the plan of tests.plan.launches.PLAIN. A new digest means that every recorded one is foreign.
PLAIN_DIGEST = "8631f555842e53d8078373ba50c0cc45"


def decoded(plan: s.LaunchPlan) -> tuple[list[tuple[int, ...]], bytes]:
    """Return the cells and the text of an encoded plan."""
    data = encode(plan)
    _, _, count, length = HEADER.unpack_from(data)
    cells = [STEP.unpack_from(data, HEADER.size + i * STEP.size) for i in range(count)]
    return cells, data[len(data) - length :]


def plan_with(*steps: s.Step) -> s.LaunchPlan:
    return s.LaunchPlan(namespaces=(), steps=steps)


def test_a_plan_encodes_to_the_bytes_that_it_always_had():
    assert hashlib.blake2b(encode(plan_of(PLAIN)), digest_size=16).hexdigest() == PLAIN_DIGEST


@given(plans)
def test_any_plan_encodes_to_the_same_bytes_twice_and_is_well_formed(plan):
    data = encode(plan)
    copy = msgspec.convert(msgspec.to_builtins(plan.steps[0]), type=type(plan.steps[0]))
    again = msgspec.structs.replace(plan, steps=(copy, *plan.steps[1:]))
    assert encode(again) == data
    assert is_well_formed(data)


def test_lists_lie_in_their_order():
    step = s.Exec(argv=("a", "", "c"), environment=("K=V",), candidates=("/x", "/y"))
    ((_, argv, environment, candidates, *counts),), text = decoded(plan_with(step))
    assert counts[:3] == [3, 1, 2]
    assert text[argv:].startswith(b"a\0\0c\0")
    assert text[environment:].startswith(b"K=V\0")
    assert text[candidates:].startswith(b"/x\0/y\0")


def test_bytes_that_are_no_text_arrive_as_they_were():
    raw = b"\xff\xfe-\xc3"
    step = s.Hostname(name=raw.decode("utf-8", "surrogateescape"))
    ((_, at, *_),), text = decoded(plan_with(step))
    assert text[at:].startswith(raw + b"\0")


@pytest.mark.parametrize("length", range(9))
def test_blobs_are_aligned_whatever_lies_before_them(length):
    steps = (s.Hostname(name="x" * length), s.Ids(uid=1, gid=2, groups=(3, 4)))
    (_, (_, at, _, _, *numbers)), text = decoded(plan_with(*steps))
    assert at % 8 == 0
    assert struct.unpack_from("=2I", text, at) == (3, 4)
    assert numbers[:4] == [1, 2, 2, 1]


def test_groups_that_are_kept_are_not_groups_that_are_none():
    kept, none = decoded(
        plan_with(s.Ids(uid=0, gid=0, groups=None), s.Ids(uid=0, gid=0, groups=()))
    )[0]
    assert (kept[7], none[7]) == (0, 1)


def test_unlimited_is_the_largest_number():
    ((_, *operands),), _ = decoded(plan_with(s.Rlimit(name="RLIMIT_CORE", soft=0, hard=None)))
    assert operands[4:6] == [0, (1 << 64) - 1]


@pytest.mark.parametrize(
    "step",
    [
        s.Exec(argv=("a\0b",), environment=(), candidates=("/a",)),
        s.Exec(argv=("a",), environment=("K=a\0b",), candidates=("/a",)),
        s.Hostname(name="a\0"),
        s.Attach(slot=0, target="/a\0/b", how=0),
        s.NewFs(slot=0, fstype="tmpfs", options=(("mode\0", "1"),)),
    ],
)
def test_a_nul_byte_in_any_string_is_an_error(step):
    with pytest.raises(UsageError, match="NUL"):
        encode(plan_with(step))


def test_a_plan_that_is_too_large_is_an_error():
    words = ("x" * (1 << 20),) * (ABI.NB_MAX_PLAN >> 20)
    with pytest.raises(UsageError, match="fit"):
        encode(plan_with(s.Exec(argv=words, environment=(), candidates=("/a",))))


def test_ten_thousand_arguments_fit():
    words = tuple(f"argument-{number}" for number in range(10_000))
    plan = plan_with(s.Exec(argv=words, environment=words, candidates=("/a",)))
    assert is_well_formed(encode(plan))


def test_a_report_of_another_size_is_an_error():
    with pytest.raises(ValueError, match=str(REPORT_SIZE)):
        decode_report(b"\0" * (REPORT_SIZE - 1))


def test_a_report_keeps_what_the_file_system_said():
    raw = ffi.new(
        "struct nb_report *", {"kind": FAILED, "step": 3, "err": 22, "message": b"overlay: bad\n"}
    )
    report = decode_report(bytes(ffi.buffer(raw)))
    assert (report.step, report.errno, report.message) == (3, 22, "overlay: bad")


def test_a_report_whose_message_fills_its_place_or_is_no_text_is_read():
    raw = ffi.new("struct nb_report *", {"message": b"\xff" * (ABI.NB_MESSAGE - 1)})
    assert decode_report(bytes(ffi.buffer(raw))).message == "\ufffd" * (ABI.NB_MESSAGE - 1)
