"""Subordinate ids: what files and the name service say, however they are damaged."""

from __future__ import annotations

import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.outer.facts import SubordinateIds
from nestbox.outer.subordinate_ids import (
    Ranges,
    ask_name_service,
    parse_answer,
    parse_ranges,
    read_ranges,
    uses_name_service,
)

ALICE = frozenset({"alice", "1000"})
LIMIT = (1 << 32) - 1


def ids(first: int, count: int) -> SubordinateIds:
    return SubordinateIds(first=first, count=count)


def parse(text: bytes) -> Ranges:
    return parse_ranges(text, ALICE, "/etc/subuid")


def test_ranges_are_those_of_the_name_and_of_the_number() -> None:
    found = parse(b"alice:100000:65536\nbob:165536:65536\n1000:300000:10\n")
    assert found == Ranges((ids(100000, 65536), ids(300000, 10)))


def test_ranges_that_overlap_or_touch_become_one() -> None:
    text = b"alice:200:100\nalice:100:50\nalice:150:60\nalice:120:5\nalice:300:1\nalice:302:1\n"
    assert parse(text).ranges == (ids(100, 201), ids(302, 1))


@pytest.mark.parametrize(
    "line",
    [
        "alice:broken:1", "alice:1:2:3", "alice:1", "alice", ":1:2", "alice:-1:5", "alice:+1:5",
        "alice:0x10:5", "alice: 1:5", "alice:1:0", "alice:\u00b2:1", "alice:1:\u0661",
        "alice:4294967295:1", "alice:4294967290:10", "alice:1:4294967295",
        "alice:99999999999999999999:1", "alice:1:99999999999999999999", "\0\1\2", "alice:1\0:5",
    ],
)  # fmt: skip
def test_what_is_no_range_is_passed_over_and_told(line: str) -> None:
    found = parse(f"{line}\nalice:7:8".encode())
    assert found.ranges == (ids(7, 8),)
    assert found.notes == ("line 1 of /etc/subuid is no range of ids, as owner:first:count",)


def test_bytes_that_are_no_text_harm_nobody() -> None:
    found = parse(b"\xff\xfe\x00\n\x80:1:2\n" + os.urandom(64).replace(b"\n", b"") + b"\nalice:7:8")
    assert found.ranges == (ids(7, 8),)
    assert "and 1 more" in found.notes[0]


def test_comments_and_empty_lines_are_no_mistakes() -> None:
    assert parse(b"# users\n\n   \nalice:7:8\n") == Ranges((ids(7, 8),))


def test_a_range_that_somebody_else_has_too_is_told() -> None:
    found = parse(b"alice:100000:65536\nbob:165535:10\ncarol:100000:1\n")
    assert found.ranges == (ids(100000, 65536),)
    assert found.shared == ("/etc/subuid gives ids of ours to bob too",)


@given(st.binary(max_size=200))
def test_every_text_gives_ranges_that_exist_and_do_not_meet(text: bytes) -> None:
    ranges = parse(text.replace(b"x", b"alice:").replace(b"y", b":")).ranges
    assert all(one.count > 0 and one.first + one.count <= LIMIT for one in ranges)
    assert all(a.first + a.count < b.first for a, b in pairwise(ranges))


def test_an_absent_file_has_no_ranges_and_is_no_mistake(tmp_path: Path) -> None:
    assert read_ranges(str(tmp_path / "subuid"), ALICE) == Ranges()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _large(path: Path) -> None:
    path.write_bytes(b"alice:7:8\n" + b"#" * (2 << 20))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_fifo, _directory, _loop, _large, _device])
def test_what_is_no_file_of_lines_is_not_read_and_holds_nobody(make, tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    make(path)
    found: list[Ranges] = []
    reader = threading.Thread(target=lambda: found.append(read_ranges(str(path), ALICE)))
    reader.start()
    reader.join(10)
    assert not reader.is_alive()
    assert found[0].ranges == ()
    assert "cannot be read" in found[0].notes[0]


def test_a_link_to_a_file_is_followed_as_some_distributions_have_it(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("alice:7:8")
    (tmp_path / "subuid").symlink_to("real")
    assert read_ranges(str(tmp_path / "subuid"), ALICE).ranges == (ids(7, 8),)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("passwd: files\n", False),
        ("subid: files\n", False),
        ("subid: sss\n", True),
        ("subid: files sss\n", False),  # the files come first, as libsubid takes one source
        ("# subid: sss\n", False),
        ("subid:\n", False),
        ("subid: files\nsubid:\tldap # last one wins\n", True),
    ],
)
def test_a_name_service_is_asked_where_it_is_in_charge(
    text: str, asked: bool, tmp_path: Path
) -> None:
    path = tmp_path / "nsswitch.conf"
    path.write_text(text)
    assert uses_name_service(str(path)) is asked


def test_without_a_configuration_the_files_are_in_charge(tmp_path: Path) -> None:
    assert not uses_name_service(str(tmp_path / "nsswitch.conf"))


def test_the_answer_of_a_name_service_is_read_like_a_file() -> None:
    text = b"0: alice 100000 65536\n1: alice 165536 10\nnothing\n2: alice x 1\n"
    found = parse_answer(text, "getsubids")
    assert found.ranges == (ids(100000, 65546),)
    assert "line 3 of getsubids" in found.notes[0]


def _program(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_a_name_service_gets_the_user_and_the_kind(tmp_path: Path) -> None:
    program = _program(
        tmp_path / "getsubids", '#!/bin/sh\ncase "$1" in -g) echo 0: $2 7 8;; esac\n'
    )
    assert ask_name_service(program, "alice", groups=True).ranges == (ids(7, 8),)
    assert ask_name_service(program, "alice", groups=False).ranges == ()


def test_a_name_service_that_hangs_is_given_up(tmp_path: Path) -> None:
    program = _program(tmp_path / "getsubids", "#!/bin/sh\nexec sleep 60\n")
    start = time.monotonic()
    found = ask_name_service(program, "alice", groups=False)
    assert time.monotonic() - start < 20
    assert found.ranges == ()
    assert "did not answer" in found.notes[0]


def test_a_name_service_that_is_no_program_is_told(tmp_path: Path) -> None:
    program = _program(tmp_path / "getsubids", "\0\0")
    assert "cannot be run" in ask_name_service(program, "alice", groups=False).notes[0]
