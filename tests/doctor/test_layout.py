"""Text for terminals: wrapped, cut and safe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nestbox.doctor.layout import Page, cut, labelled, page_of, paragraph, plain, shortened
from nestbox.outer.facts import EngineKind
from nestbox.policy.engine_settings import allow_syscalls


@given(st.text(), st.integers(min_value=40, max_value=100))
def test_no_text_leaves_its_column_or_steers_the_terminal(text: str, width: int) -> None:
    lines = labelled("because", text, Page(width=width))
    assert all(len(line) <= width for line in lines)
    assert all(char == " " or char.isprintable() or ord(char) > 0x9F for char in "".join(lines))


@given(st.text())
def test_plain_text_is_one_line_without_control_characters(text: str) -> None:
    assert not {"\n", "\r", "\x1b", "\x00", "\u202e"} & {*plain(text)}


def test_further_lines_are_indented_under_the_first() -> None:
    lines = paragraph("word " * 30, Page(width=40), first="  try     ", indent=10)
    assert lines[0].startswith("  try     word")
    assert {line[:11] for line in lines[1:]} == {"          w"}


def test_a_label_without_a_text_is_no_line() -> None:
    assert labelled("try", "", Page()) == []


def test_a_long_list_of_capabilities_is_cut_and_a_short_one_is_not() -> None:
    many = ", ".join(f"CAP_X{number}" for number in range(12))
    assert shortened(f"not {many}!") == "not CAP_X0, CAP_X1, CAP_X2 and 9 more!"
    assert shortened("CAP_A, CAP_B") == "CAP_A, CAP_B"


def test_cutting_leaves_an_ellipsis_within_the_width() -> None:
    assert (cut("abcdef", 4), cut("abcd", 4)) == ("abc…", "abcd")


def test_no_terminal_is_80_columns_without_colour() -> None:
    assert page_of(None, colour=True) == Page(width=80, colour=False)
    assert page_of(10, colour=True).width == 40
    assert page_of(500, colour=False).width == 100


def test_every_engine_has_words_for_a_filtered_system_call() -> None:
    for engine in EngineKind:
        words = allow_syscalls(("mount", "pivot_root"), engine)
        assert "{" not in words
        assert "eccomp" in words or "mount" in words
