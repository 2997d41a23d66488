"""Scores are told with every difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.conformance import report
from integration.conformance.session import Score
from integration.conformance.suites import Result
from integration.conformance.tap import Outcome


def _score(runtime: str, **outcomes: Outcome) -> Score:
    return Score(
        suite="runtime-tools",
        suite_version="v1",
        runtime=runtime,
        date="2026-01-02",
        kernel="6.1",
        results=tuple(Result(name=name, outcome=each) for name, each in outcomes.items()),
    )


_ONE = _score("one 1.0", same=Outcome.PASSED, other=Outcome.PASSED, gone=Outcome.SKIPPED)
_TWO = _score("two 2.0", same=Outcome.PASSED, other=Outcome.FAILED)


def test_the_terminal_gets_totals_and_differences() -> None:
    assert list(report.lines([_ONE, _TWO])) == [
        "one 1.0: 2 ok, 0 not ok, 1 skipped, of 3",
        "two 2.0: 1 ok, 1 not ok, 0 skipped, of 2",
        "  other: one 1.0 ok, two 2.0 not ok",
        "  gone: one 1.0 skipped, two 2.0 not run",
    ]


def test_the_page_gets_them_as_tables_with_reasons() -> None:
    text = report.block([_ONE, _TWO], {"other": "two | has no other"})
    assert text.startswith("2026-01-02, runtime-tools v1, Linux 6.1.\n")
    assert "| one 1.0 | 2 | 0 | 1 | 3 |" in text
    assert "| other | ok | not ok | two \\| has no other |" in text
    assert "same" not in text


def test_a_runtime_that_differs_throughout_is_told_in_a_sentence() -> None:
    names = [f"test{number}" for number in range(50)]
    good = _score("good 1", **dict.fromkeys(names, Outcome.PASSED))
    bad = _score("bad 1", **dict.fromkeys(names, Outcome.FAILED))
    text = report.block([good, bad], {})
    assert "bad 1 differs from good 1 in 50 tests, not listed." in text
    assert "test1" not in text


def test_one_runtime_alone_has_no_table_of_differences() -> None:
    assert "where they differ" not in report.block([_ONE], {})


def test_scores_go_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- scores: x -->\nold\n<!-- end: x -->\nb\n")
    report.put(page, "x", "new")
    report.put(page, "x", "newer")
    assert page.read_text() == "a\n<!-- scores: x -->\n\nnewer\n\n<!-- end: x -->\nb\n"


def test_a_page_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n")
    with pytest.raises(report.NoBlockError, match="x"):
        report.put(page, "x", "new")
    assert page.read_text() == "a\n"


@pytest.mark.parametrize("suite", ["runtime-tools", "runc-bats"])
def test_every_reason_says_something(suite: str) -> None:
    assert all(reason.strip() for reason in report.reasons(suite).values())
