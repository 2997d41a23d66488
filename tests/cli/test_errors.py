"""The boundary of errors: a message and an exit code for whatever ends a command."""

from __future__ import annotations

import errno
import os

import click
import pytest

from nestbox.cli.errors import Settings, guard
from nestbox.errors import NestboxError, ProgramNotFound, ProgramNotInvokable


def guarded(error: BaseException, *, debug: bool = False) -> int:
    settings = Settings()
    settings.debug = debug

    def command() -> object:
        raise error

    return guard(command, settings)


@pytest.mark.parametrize(("result", "code"), [(0, 0), (3, 3), (None, 0), ("text", 0)])
def test_a_command_that_ends_gives_its_code(result: object, code: int) -> None:
    assert guard(lambda: result, Settings()) == code


@pytest.mark.parametrize(
    ("kind", "code"), [(NestboxError, 125), (ProgramNotInvokable, 126), (ProgramNotFound, 127)]
)
def test_an_error_gives_the_code_of_its_kind(
    kind: type[NestboxError], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(kind("x", cause="y", remedy="z")) == code
    assert capsys.readouterr().err == "nestbox: x\n  because: y\n  try:     z\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.exceptions.Exit(7), 7),
    ],
)
def test_what_is_no_failure_of_nestbox_is_quiet(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(error) == code
    assert capsys.readouterr() == ("", "")


def test_a_defect_names_itself_and_its_place_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert guarded(KeyError("\033[2J")) == 125
    what, cause, remedy = capsys.readouterr().err.splitlines()
    assert what == "nestbox: internal error: KeyError: '\\x1b[2J'"
    assert "defect of nestbox" in cause
    assert "tests/cli/test_errors.py:" in cause
    assert "report it" in remedy


def test_an_unforeseen_error_of_the_system_is_a_defect(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/x")) == 125
    assert "internal error: PermissionError" in capsys.readouterr().err


def test_with_debug_the_traceback_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(NestboxError("x", cause="y", remedy="z"), debug=True) == 125
    text = capsys.readouterr().err
    assert text.startswith("Traceback")
    assert text.endswith("nestbox: x\n  because: y\n  try:     z\n")
