"""What is printed: safe for a terminal, within its width, coloured on a terminal alone."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from nestbox.cli import output
from nestbox.errors import NestboxError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢", "plain ä 漢"),
        ("\033[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_could_move_the_cursor_is_shown_escaped(text: str, shown: str) -> None:
    assert output.escape(text) == shown


def test_an_error_has_three_labelled_parts(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error(NestboxError("a\nb", cause="one\ntwo", remedy="this; \033[31mthat"))
    assert capsys.readouterr().err == (
        "nestbox: a\\nb\n  because: one\n           two\n  try:     this; \\x1b[31mthat\n"
    )


def test_an_error_cannot_pretend_to_be_another(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error(NestboxError("x", cause="y\nnestbox: all is well", remedy="z"))
    starts = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nestbox:")]
    assert starts == ["nestbox: x"]


def test_a_long_cause_is_one_line_where_no_person_looks(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_error(NestboxError("x", cause="word " * 60, remedy="z"))
    assert len(capsys.readouterr().err.splitlines()) == 3


def on_terminal(code: str, **environment: str) -> str:
    """Return what a Python program prints to a terminal."""
    master, slave = pty.openpty()
    keep = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS"}}
    try:
        subprocess.run(
            [sys.executable, "-c", code],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**keep, "TERM": "xterm", **environment},
            timeout=30,
            check=True,
        )
        return os.read(master, 1 << 16).decode()
    finally:
        os.close(slave)
        os.close(master)


_ERROR = (
    "from nestbox.cli import output; from nestbox.errors import NestboxError;"
    "output.show_error(NestboxError('x', cause='word ' * 60, remedy='z'))"
)


def test_a_terminal_gets_colour_and_lines_of_its_width() -> None:
    text = on_terminal(_ERROR, COLUMNS="60")
    assert text.startswith("\033[1;31mnestbox:\033[0m x")
    causes = [line for line in text.splitlines() if line.rstrip().endswith("word")]
    assert len(causes) > 3
    assert max(len(line) for line in causes[1:]) <= 60


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colour_gets_none(variable: dict[str, str]) -> None:
    assert "\033" not in on_terminal(_ERROR, **variable)


def test_a_table_fits_eighty_columns_and_keeps_its_first_column_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output.table(("ASPECT", "GIVEN"), [("a" * 30, "word " * 30), ("b", "\033[2J[bold]")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ASPECT", "GIVEN"]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("a" * 30 + "  word") for line in lines)
    assert "\\x1b[2J[bold]" in lines[-1]


def test_a_column_that_is_too_long_leaves_the_others_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output.table(("ASPECT", "GIVEN"), [("a" * 100, "something")])
    text = capsys.readouterr().out
    assert "something" in text
    assert text.count("a") == 100
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("500", 100), ("5", 20), ("x", 80)])
def test_prose_has_the_width_of_the_terminal_within_reason(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with open(os.devnull, encoding="utf-8") as no_terminal:
        assert output.terminal_width(no_terminal) == width


def test_json_holds_names_that_are_not_utf8(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output.say_json({"name": "\udcff"})
    assert capfdbinary.readouterr().out == b'{\n  "name": "\\udcff"\n}\n'
