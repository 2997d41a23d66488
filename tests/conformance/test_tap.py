"""What the suites print is read as it is meant."""

from __future__ import annotations

import pytest

from integration.conformance import tap
from integration.conformance.tap import Line, Outcome


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("ok 1 - starts", Line(title="starts", outcome=Outcome.PASSED)),
        ("not ok 2 - stops", Line(title="stops", outcome=Outcome.FAILED)),
        (
            "ok 3 events # skip no memcg",
            Line(title="events", outcome=Outcome.SKIPPED, why="no memcg"),
        ),
        (
            "ok 4 - # SKIP: no such cgroup",
            Line(title="", outcome=Outcome.SKIPPED, why="no such cgroup"),
        ),
        ("not ok 5 later # TODO", Line(title="later", outcome=Outcome.FAILED)),
        ("ok 6 exec in 12ms", Line(title="exec", outcome=Outcome.PASSED)),
        ("ok", Line(title="", outcome=Outcome.PASSED)),
    ],
)
def test_a_line_is_one_test(row: str, line: Line) -> None:
    assert tap.parse(row).lines == (line,)


def test_other_lines_and_nested_streams_are_passed_over() -> None:
    stream = tap.parse("TAP version 13\nokay then\n    ok 1 - inner\n# ok\nok 1 - outer\n1..1\n")
    assert [line.title for line in stream.lines] == ["outer"]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("1..2\nok 1\nok 2\n", True),
        ("1..2\nok 1\n", False),
        ("ok 1\n1..0\n", False),
        ("1..0\n", True),
        ("ok 1\n", False),
        ("", False),
    ],
)
def test_a_stream_is_whole_when_it_has_what_it_planned(text: str, whole: bool) -> None:
    assert tap.parse(text).whole is whole


def test_each_outcome_has_a_count() -> None:
    found = tap.count([Outcome.FAILED, Outcome.PASSED, Outcome.FAILED])
    assert found == {Outcome.PASSED: 1, Outcome.FAILED: 2, Outcome.SKIPPED: 0}
