"""The log: a line a message, in three forms and at three places."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nestbox.cli.oci.log import Log, escaped
from nestbox.errors import NestboxError


def log_to(path: Path, *, is_json: bool = False, debugging: bool = False) -> Log:
    log = Log()
    log.is_json, log.debugging = is_json, debugging
    log.open(str(path))
    return log


def test_every_level_has_its_word(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log", is_json=True, debugging=True)
    log.error("a")
    log.warning("b")
    log.info("c")
    log.debug("d")
    entries = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(entry["level"], entry["msg"]) for entry in entries] == [
        ("error", "a"),
        ("warning", "b"),
        ("info", "c"),
        ("debug", "d"),
    ]


def test_debugging_is_off_unless_asked_for(tmp_path: Path) -> None:
    log_to(tmp_path / "log").debug("hidden")
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("plain-word", "plain-word"),
        ("two words", '"two words"'),
        ("", '""'),
        ('a "quoted" \\ thing', '"a \\"quoted\\" \\\\ thing"'),
        ("line\nline", '"line\\nline"'),
        ("ä 漢", '"ä 漢"'),
        ("\033[31m\udcff", '"\\x1b[31m\\udcff"'),
    ],
)
def test_text_is_quoted_where_it_has_to_be(tmp_path: Path, message: str, shown: str) -> None:
    log_to(tmp_path / "log").error(message)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.partition(" level=error msg=")[2] == shown


@pytest.mark.parametrize("message", ['"', "\n\t\0", "ä漢\U0001f600", "\udcff", "\u2028", "\x7f"])
def test_json_is_valid_whatever_the_message(tmp_path: Path, message: str) -> None:
    log_to(tmp_path / "log", is_json=True).error(message)
    (line,) = (tmp_path / "log").read_bytes().splitlines()
    assert json.loads(line)["msg"] == message


def test_a_fatal_error_is_plain_on_standard_error(tmp_path: Path, capfd) -> None:
    log_to(tmp_path / "log", is_json=True).fatal("it failed\nfor a \033reason")
    assert capfd.readouterr().err == "it failed\nfor a \\x1breason\n"


def test_without_a_log_a_fatal_error_is_told_once(capfd) -> None:
    Log().fatal("it failed")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith('level=error msg="it failed"')


@pytest.mark.parametrize("target", ["journald:me", "syslog:me", "journald:", "syslog:"])
def test_a_service_that_is_not_there_is_no_failure(target: str, capfd) -> None:
    log = Log()
    log.open(target)
    log.fatal("it failed")
    assert capfd.readouterr().err == "it failed\n"


def test_the_file_stays_ours_after_an_exec(tmp_path: Path) -> None:
    log = log_to(tmp_path / "log")
    assert not os.get_inheritable(log._fd)


def test_a_file_that_cannot_be_opened() -> None:
    with pytest.raises(NestboxError) as raised:
        Log().open("/nonexistent/log")
    assert "open /nonexistent/log: no such file or directory" in str(raised.value)


def test_escaping_keeps_what_it_is_told_to() -> None:
    assert escaped("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\r"
