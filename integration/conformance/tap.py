"""The Test Anything Protocol as the suites speak it, as values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

_PLAN: Final = re.compile(r"1\.\.(\d+)")
_LINE: Final = re.compile(r"(?P<not>not )?ok(?: +(?P<number>\d+))?(?: +-)?(?: +(?P<title>.*))?$")
_DIRECTIVE: Final = re.compile(r"# *(?:skip|todo)\b[: ]*(?P<why>.*)$", re.IGNORECASE)
_TIMING: Final = re.compile(r" in \d+ms$")


class Outcome(StrEnum):
    """What became of a test."""

    PASSED = "ok"
    FAILED = "not ok"
    SKIPPED = "skipped"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One test of a stream: its title without number and directive, and why it was skipped."""

    title: str
    outcome: Outcome
    why: str = ""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """The tests of one program; `planned` is None when it printed no plan."""

    planned: int | None
    lines: tuple[Line, ...]

    @property
    def whole(self) -> bool:
        """Whether as many tests were reported as were planned."""
        return self.planned == len(self.lines)


def parse(text: str) -> Stream:
    """Return the tests that `text` reports; lines that are not TAP are passed over.

    A line of a nested stream, which is indented, belongs to another program and is passed over.
    """
    planned: int | None = None
    lines = []
    for row in text.splitlines():
        if plan := _PLAN.match(row):
            planned = int(plan[1])
        elif found := _LINE.match(row.rstrip()):
            lines.append(_line(found["title"] or "", failed=bool(found["not"])))
    return Stream(planned=planned, lines=tuple(lines))


def count(outcomes: Iterable[Outcome]) -> dict[Outcome, int]:
    """Return how many there are of each outcome, none left out."""
    every = list(outcomes)
    return {outcome: every.count(outcome) for outcome in Outcome}


def _line(title: str, *, failed: bool) -> Line:
    directive = _DIRECTIVE.search(title)
    bare = _TIMING.sub("", (title[: directive.start()] if directive else title).strip())
    if failed:
        return Line(title=bare, outcome=Outcome.FAILED)
    if directive:
        return Line(title=bare, outcome=Outcome.SKIPPED, why=directive["why"].strip())
    return Line(title=bare, outcome=Outcome.PASSED)
