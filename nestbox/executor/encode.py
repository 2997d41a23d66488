"""LaunchPlan -> bytes and back for reports, with the layout of plan.h. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.errors import UsageError
from nestbox.executor._abi import ffi
from nestbox.executor.operands import ENCODERS, Text, namespace_flags
from nestbox.outer.facts import CapabilitySets
from nestbox.plan import steps as s

__all__ = [
    "CONSOLE",
    "CREATED",
    "FAILED",
    "FORKED",
    "LISTENER",
    "MAX_PAYLOAD",
    "PRESERVED_FD",
    "REPORT_SIZE",
    "SETS",
    "SYNC",
    "Report",
    "decode_report",
    "encode",
    "namespace_flags",
]

_abi = ffi.dlopen(None)


def encode(plan: s.LaunchPlan) -> bytes:
    """Return the bytes that the executor reads: header, steps, text.

    Raises:
        UsageError: a string of the plan has a NUL byte, or the plan is larger than NB_MAX_PLAN.
    """
    text = Text()
    cells = []
    for step in plan.steps:
        op, encoder = ENCODERS[type(step)]
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
    values: tuple[int, ...] = ()  # what its kind says; of SETS they are in sets


PRESERVED_FD: Final = int(_abi.NB_PRESERVED_FD)  # the first that spawn's `preserved` become
FAILED: Final = int(_abi.NB_REPORT_FAILED)
SYNC: Final = int(_abi.NB_REPORT_SYNC)
CONSOLE: Final = int(_abi.NB_REPORT_CONSOLE)
SETS: Final = int(_abi.NB_REPORT_SETS)
CREATED: Final = int(_abi.NB_REPORT_CREATED)
FORKED: Final = int(_abi.NB_REPORT_FORKED)
LISTENER: Final = int(_abi.NB_REPORT_LISTENER)
MAX_PAYLOAD: Final = int(_abi.NB_MAX_PAYLOAD)
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
        values=tuple(report.value),
    )
