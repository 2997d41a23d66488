"""Damaged plans: refused whole, or executed as what they still say; never a crash."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nestbox.executor.encode import FAILED, REPORT_SIZE, SETS, decode_report
from tests.executor.model import ABI, HEADER, STEP, is_well_formed
from tests.executor.mutations import EDGES, base_plans, mutants
from tests.executor.sanitized import Outcome, outcomes

MUTANTS = 2000
SANITIZER_STATUS = 99
SANITIZER_WORDS = ("Sanitizer", "runtime error")
ENDED_BY_PLAN = {signal.SIGSYS, signal.SIGKILL, signal.SIGXCPU, signal.SIGXFSZ}
PATH_MAX_TEXT = 8192


def check(plan: bytes, outcome: Outcome) -> None:
    """Hold that a plan was refused whole exactly if it is malformed, and that nothing crashed."""
    assert not any(word in outcome.said for word in SANITIZER_WORDS), outcome.said
    assert outcome.status != SANITIZER_STATUS
    # A damaged filter or limit may end it, or the program after its exec in any way.
    executed = bool(outcome.reports) and outcome.reports[-1].kind == SETS
    assert not outcome.signalled or outcome.status in ENDED_BY_PLAN or executed, outcome
    told = [(report.kind, report.step, report.errno) for report in outcome.reports]
    refused = told == [(FAILED, -1, errno.EBADMSG)]
    assert refused != is_well_formed(plan), told


def test_base_plans_run_to_their_end_or_to_a_named_step(executor, root):
    plans = base_plans(root)
    found = outcomes(executor, plans)
    assert [outcome.status for outcome in found] == [0, 0, 0, 1, 0]
    assert all(is_well_formed(plan) for plan in plans)


@pytest.mark.slow
def test_mutants_are_refused_whole_or_executed_without_a_crash(executor, root):
    plans = list(mutants(root, 2026, MUTANTS))
    assert len(set(plans)) > MUTANTS // 2
    for plan, outcome in zip(plans, outcomes(executor, plans), strict=True):
        check(plan, outcome)


@pytest.mark.slow
def test_every_truncation_of_a_plan_is_refused(executor, root):
    plan = min(base_plans(root), key=len)
    plans = [plan[:length] for length in range(0, len(plan), 7)]
    for cut, outcome in zip(plans, outcomes(executor, plans), strict=True):
        check(cut, outcome)


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_steps_of_any_operands_crash_nothing(executor, data):
    operations = st.integers(min_value=0, max_value=ABI.NB_OP_END + 1)
    numbers = st.sampled_from(EDGES) | st.integers(min_value=0, max_value=(1 << 64) - 1)
    text = data.draw(st.binary(max_size=64)) + b"\0"
    offsets = st.integers(min_value=0, max_value=len(text) + 1)
    cells = data.draw(
        st.lists(
            st.tuples(operations, *[offsets] * ABI.NB_TEXTS, *[numbers] * ABI.NB_NUMS),
            min_size=1,
            max_size=4,
        )
    )
    plan = header(len(cells), len(text)) + b"".join(STEP.pack(*cell) for cell in cells) + text
    check(plan, outcomes(executor, [plan])[0])


def header(steps: int, text: int, magic: int = ABI.NB_MAGIC, version: int = ABI.NB_VERSION):
    return HEADER.pack(magic, version, steps, text)


def step(operation: int, texts: tuple[int, ...] = (), numbers: tuple[int, ...] = ()) -> bytes:
    padding = (0,) * (ABI.NB_TEXTS - len(texts)), (0,) * (ABI.NB_NUMS - len(numbers))
    return STEP.pack(operation, *texts, *padding[0], *numbers, *padding[1])


def plan_with(*steps: bytes, text: bytes = b"\0") -> bytes:
    return header(len(steps), len(text)) + b"".join(steps) + text


EIGHT = b"\0" * 8
MALFORMED = {
    "nothing": b"",
    "half a header": header(1, 1)[:8],
    "a header alone": header(1, 1),
    "another magic": header(1, 1, magic=1) + step(ABI.NB_OP_SESSION) + b"\0",
    "another version": header(1, 1, version=1) + step(ABI.NB_OP_SESSION) + b"\0",
    "no steps": plan_with(),
    "no text": header(1, 0) + step(ABI.NB_OP_SESSION),
    "more steps than bytes": header(2, 1) + step(ABI.NB_OP_SESSION) + b"\0",
    "too many steps": header(ABI.NB_MAX_STEPS + 1, 1)
    + step(ABI.NB_OP_SESSION) * (ABI.NB_MAX_STEPS + 1)
    + b"\0",
    "sizes that wrap around": header(0xFFFFFFFF, 0xFFFFFFFF) + step(ABI.NB_OP_SESSION) + b"\0",
    "a byte too many": plan_with(step(ABI.NB_OP_SESSION)) + b"\0",
    "text without an end": plan_with(step(ABI.NB_OP_SESSION), text=b"\0x"),
    "operation 0": plan_with(step(0)),
    "an operation that is none": plan_with(step(ABI.NB_OP_END - 1)),
    "an operation past the end": plan_with(step(ABI.NB_OP_END)),
    "a huge operation": plan_with(step(0xFFFFFFFF)),
    "text at its end": plan_with(step(ABI.NB_OP_HOSTNAME, (1,))),
    "an unused text past the end": plan_with(step(ABI.NB_OP_SESSION, (0, 0, 9))),
    "a slot past the last": plan_with(step(ABI.NB_OP_FCHDIR, (), (ABI.NB_SLOTS,))),
    "a huge slot": plan_with(step(ABI.NB_OP_FCHDIR, (), ((1 << 64) - 1,))),
    "no slot to keep": plan_with(step(ABI.NB_OP_KEEP_SLOT, (), (0, ABI.NB_SLOT_NONE))),
    "no slot to cover with": plan_with(step(ABI.NB_OP_MASK, (), (0, ABI.NB_SLOT_NONE))),
    "no slot to resolve below": plan_with(step(ABI.NB_OP_ATTACH, (), (0, 0, 0, 255))),
    "a list longer than the text": plan_with(step(ABI.NB_OP_EXEC, (0, 0, 0), (2, 0, 0))),
    "a list of many": plan_with(step(ABI.NB_OP_EXEC, (0, 0, 0), ((1 << 64) - 1, 0, 0))),
    "a list of options too long": plan_with(step(ABI.NB_OP_NEW_FS, (0, 0), (0, 2))),
    "a blob that is not aligned": plan_with(
        step(ABI.NB_OP_SECCOMP, (1,), (1,)), text=EIGHT + EIGHT + b"\0"
    ),
    "a blob past the end": plan_with(step(ABI.NB_OP_SECCOMP, (8,), (1,)), text=EIGHT + b"\0"),
    "a blob whose size wraps": plan_with(
        step(ABI.NB_OP_IDS, (0,), (0, 0, 1 << 62, 1)), text=EIGHT + b"\0"
    ),
    "no list of arguments for a hook": plan_with(step(ABI.NB_OP_HOOK, (0, 0, 0), (2, 0, 0))),
    "no list of variables for a hook": plan_with(step(ABI.NB_OP_HOOK, (0, 0, 0), (0, 2, 0))),
    "no list of candidates": plan_with(step(ABI.NB_OP_FIND_PROGRAM, (0,), (2,))),
    "a scheduler past the end": plan_with(step(ABI.NB_OP_SCHEDULER, (0,), (2,))),
    "processors past the end": plan_with(step(ABI.NB_OP_AFFINITY, (8,), (1,)), text=EIGHT + b"\0"),
    "nodes past the end": plan_with(
        step(ABI.NB_OP_MEMORY_POLICY, (0,), (0, 1 << 61)), text=EIGHT + b"\0"
    ),
    "no slot to receive into": plan_with(step(ABI.NB_OP_RECEIVE, (), (255,))),
    "a proc that is no slot": plan_with(step(ABI.NB_OP_PROC_WRITE, (), (ABI.NB_SLOTS,))),
    "a namespace without a slot": plan_with(step(ABI.NB_OP_OPEN_NAMESPACE, (), (255,))),
    "a last step that is malformed": plan_with(step(ABI.NB_OP_SESSION), step(0)),
}


def test_each_way_of_being_malformed_is_refused_whole(executor):
    found = outcomes(executor, MALFORMED.values())
    for name, outcome in zip(MALFORMED, found, strict=True):
        told = [(report.kind, report.step, report.errno) for report in outcome.reports]
        assert told == [(FAILED, -1, errno.EBADMSG)], name
        assert (outcome.status, outcome.said) == (1, ""), name


def test_a_plan_is_refused_before_its_first_step_is_done(executor):
    """The first step would report a sync point; the last one is malformed."""
    plan = plan_with(step(ABI.NB_OP_SYNC), step(ABI.NB_OP_SYNC), step(0))
    (outcome,) = outcomes(executor, [plan])
    assert [report.kind for report in outcome.reports] == [FAILED]


def test_a_plan_that_does_not_end_in_an_exec_fails(executor):
    (outcome,) = outcomes(executor, [plan_with(step(ABI.NB_OP_UMASK))])
    assert [(x.step, x.errno) for x in outcome.reports] == [(-1, errno.ENOEXEC)]


@pytest.mark.parametrize("text", [b"/" + b"x" * PATH_MAX_TEXT, b"/a" * PATH_MAX_TEXT])
def test_paths_longer_than_the_kernel_takes_are_errors_of_their_step(executor, text):
    steps = (
        step(ABI.NB_OP_OPEN_DIR, (1,), (ABI.NB_SLOT_ROOT,)),
        step(ABI.NB_OP_MAKE_DIRS, (3,), (0o755,)),
    )
    plan = plan_with(*steps, text=b"\0/\0" + text + b"\0")
    (outcome,) = outcomes(executor, [plan])
    assert [(x.step, x.errno) for x in outcome.reports] == [(1, errno.ENAMETOOLONG)]


@pytest.mark.parametrize("number", [0xFFFFFFFF, 1 << 32, (1 << 64) - 1])
@pytest.mark.parametrize("operand", [0, 1])
def test_ids_that_the_kernel_would_take_for_others_are_refused(executor, number, operand):
    """setresuid(2) takes the last one for "leave it" and sees the lower half of larger ones."""
    numbers = [0, 0, 0, 0]
    numbers[operand] = number
    (outcome,) = outcomes(executor, [plan_with(step(ABI.NB_OP_IDS, (0,), tuple(numbers)))])
    assert [(x.step, x.errno) for x in outcome.reports] == [(0, errno.EINVAL)]


def start(executor: Path, plan: int | None, control: int | None) -> int:
    """Start the executor with these descriptors as 3 and 4; return its exit status."""
    moves = [(plan, 3), (control, 4)]
    done = subprocess.run(
        [executor],
        preexec_fn=lambda: place(moves),
        close_fds=False,
        check=False,
        timeout=60,
        stderr=subprocess.PIPE,
    )
    assert done.stderr == b""
    return done.returncode


def place(moves: list[tuple[int | None, int]]) -> None:
    """Give descriptors their places, and leave those empty that get none."""
    safe = [(None if fd is None else os.dup(fd), target) for fd, target in moves]
    os.closerange(3, 5)
    for fd, target in safe:
        if fd is not None:
            os.dup2(fd, target)


def report_of(executor: Path, plan: int) -> tuple[int, int]:
    """Return the step and errno that the executor reports for a descriptor as its plan."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        assert start(executor, plan, theirs.fileno()) == 1
        report = decode_report(ours.recv(REPORT_SIZE))
    return report.step, report.errno


def test_a_descriptor_that_holds_no_plan_is_refused(executor, tmp_path):
    empty = os.open(tmp_path / "empty", os.O_RDWR | os.O_CREAT)
    large = os.open(tmp_path / "large", os.O_RDWR | os.O_CREAT)
    os.truncate(large, ABI.NB_MAX_PLAN + 1)
    directory = os.open(tmp_path, os.O_RDONLY)
    read, write = os.pipe()
    try:
        assert report_of(executor, empty) == (-1, errno.EBADMSG)
        assert report_of(executor, large) == (-1, errno.EBADMSG)
        assert report_of(executor, directory) == (-1, errno.EISDIR)
        assert report_of(executor, read) == (-1, errno.EBADMSG)
    finally:
        for fd in (empty, large, directory, read, write):
            os.close(fd)


def test_without_its_descriptors_the_executor_ends_at_once(executor):
    assert start(executor, None, None) == 2
    null = os.open("/dev/null", os.O_RDWR)
    try:
        assert start(executor, null, None) == 2
        assert start(executor, None, null) == 2
        # A control descriptor that is no socket takes no report.
        assert start(executor, null, null) == 2
    finally:
        os.close(null)


def test_the_model_knows_every_operand_of_the_header():
    """The layouts that the model reads by hand are those of the header."""
    assert struct.calcsize("=4I6Q") == STEP.size == 64
    assert ABI.NB_TEXTS == 3
    assert ABI.NB_NUMS == 6
