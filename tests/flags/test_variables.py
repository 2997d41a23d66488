"""-e and --env-file, as docker reads them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestbox.errors import UsageError
from nestbox.flags.variables import FILE_LIMIT, variables

CALLER = {"HOME": "/home/me", "EMPTY": ""}


def read(tmp_path: Path, data: bytes) -> tuple[str, ...]:
    (tmp_path / "env").write_bytes(data)
    return variables((), ("env",), CALLER, str(tmp_path))


def test_a_name_alone_takes_the_value_of_the_caller() -> None:
    assert variables(("A=1", "HOME", "EMPTY", "NOWHERE"), (), CALLER, "/") == (
        "A=1",
        "HOME=/home/me",
        "EMPTY=",
    )


def test_files_come_before_flags(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=file\n")
    assert variables(("A=flag",), ("env",), {}, str(tmp_path)) == ("A=file", "A=flag")


def test_a_file_has_comments_names_and_values_that_are_kept_as_they_are(tmp_path: Path) -> None:
    text = b'# comment\n\n  # indented\nA="quoted"\n  B=a b  \nC=a#b\nD=a=b\nE=\nHOME\nNOWHERE\n'
    assert read(tmp_path, text) == (
        'A="quoted"',
        "B=a b  ",
        "C=a#b",
        "D=a=b",
        "E=",
        "HOME=/home/me",
    )


def test_a_file_of_another_system_is_read_too(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbfA=1\r\nB=2") == ("A=1", "B=2")


def test_bytes_that_are_no_text_are_passed_on(tmp_path: Path) -> None:
    assert os.fsencode(read(tmp_path, b"A=\xff\xfe")[0]) == b"A=\xff\xfe"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"A=\0", "NUL"),
        (b"=1", "line 1 has no name"),
        (b"\nA =1", "line 2 has a space"),
        (b"export A=1", "a space"),
        (b"A B", "a space"),
        (b"#" * (FILE_LIMIT + 1), "larger than 1 MiB"),
    ],
)
def test_a_malformed_file_is_refused_and_the_error_names_the_place(
    tmp_path: Path, data: bytes, word: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, data)
    assert refused.value.what == "--env-file env"
    assert word in refused.value.cause


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("missing", "no such file"),
        (".", "directory"),
        ("/dev/zero", "larger than"),
        ("a\0b", "NUL"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, file: str, word: str) -> None:
    with pytest.raises(UsageError) as refused:
        variables((), (file,), {}, str(tmp_path))
    assert word in refused.value.cause
