"""What counts as passed, shown on suites of a few lines."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from integration.conformance import suites
from integration.conformance.suites import Result, Setting
from integration.conformance.tap import Outcome


def _setting(checkout: Path) -> Setting:
    scratch = checkout / "scratch"
    scratch.mkdir()
    return Setting(checkout=checkout, runtime=Path("/usr/bin/true"), scratch=scratch)


def _program(checkout: Path, text: str) -> str:
    program = checkout / "validation" / "case" / "case.t"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return "validation/case/case.t"


@pytest.mark.parametrize(
    ("text", "outcome", "why"),
    [
        ("echo ok 1; echo 1..1", Outcome.PASSED, ""),
        ("echo ok 1 \\# skip; echo 1..2; echo ok 2", Outcome.PASSED, ""),
        ("echo 1..0", Outcome.PASSED, ""),
        ("echo ok 1 - x \\# SKIP no bus; echo 1..1", Outcome.SKIPPED, "no bus"),
        ("echo ok 1; echo not ok 2 - second; echo 1..2", Outcome.FAILED, "second"),
        ("echo ok 1; echo 1..2", Outcome.FAILED, "planned 2 tests, reported 1"),
        ("echo ok 1; echo 1..1; exit 4", Outcome.FAILED, "ended with status 4"),
    ],
)
def test_a_validation_program_is_one_test(
    tmp_path: Path, text: str, outcome: Outcome, why: str
) -> None:
    suite = suites.RuntimeTools()
    program = _program(tmp_path, text)
    assert suite.programs(tmp_path) == [program]
    found, _ = suite.run(program, _setting(tmp_path))
    assert found == [Result(name="case", outcome=outcome, why=why)]


def test_the_runtime_is_handed_over(tmp_path: Path) -> None:
    program = _program(tmp_path, "echo $RUNTIME; echo 1..0")
    _, output = suites.RuntimeTools().run(program, _setting(tmp_path))
    assert "/usr/bin/true\n" in output


@pytest.mark.skipif(shutil.which("bats") is None, reason="bats is not installed")
def test_each_test_of_a_bats_file_counts_even_one_that_never_reports(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "integration" / "case.bats"
    file.parent.mkdir(parents=True)
    file.write_text(
        '@test "good" {\n true\n}\n@test "bad" {\n false\n}\n'
        '@test "not here" {\n skip "no bus"\n}\n'
        '@test "runtime " {\n [ "$RUNC" = /usr/bin/true ]\n}\n'
    )
    suite = suites.RuncBats()
    found, _ = suite.run(suite.programs(tmp_path)[0], _setting(tmp_path))
    assert found == [
        Result(name="case: good", outcome=Outcome.PASSED),
        Result(name="case: bad", outcome=Outcome.FAILED),
        Result(name="case: not here", outcome=Outcome.SKIPPED, why="no bus"),
        Result(name="case: runtime", outcome=Outcome.PASSED),
    ]


@pytest.mark.skipif(shutil.which("bats") is None, reason="bats is not installed")
def test_a_bats_file_that_breaks_off_fails_in_each_of_its_tests(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "integration" / "case.bats"
    file.parent.mkdir(parents=True)
    file.write_text('exit 1\n@test "good" {\n true\n}\n')
    found, _ = suites.RuncBats().run("tests/integration/case.bats", _setting(tmp_path))
    assert found == [Result(name="case: good", outcome=Outcome.FAILED, why="did not report")]
