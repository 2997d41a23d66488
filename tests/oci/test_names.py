"""Ids of containers and lists of CPUs."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.oci.names import MAX_LIST_NUMBER, check_container_id, read_list


@pytest.mark.parametrize("name", ["a", "A-Z_0.9+x", "...", ".a", "-", "x" * 255])
def test_ids(name: str) -> None:
    check_container_id(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "a b", "a\n", "ä", "a:b", "\0", "x" * 256, "\u0661"]
)
def test_what_is_no_id(name: str) -> None:
    with pytest.raises(UsageError, match=r"^invalid container ID format"):
        check_container_id(name)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", ()),
        ("0", ((0, 0),)),
        ("0-3,7", ((0, 3), (7, 7))),
        (" 1 , 2-2,,", ((1, 1), (2, 2))),
        (str(MAX_LIST_NUMBER), ((MAX_LIST_NUMBER, MAX_LIST_NUMBER),)),
        ("007", ((7, 7),)),
    ],
)
def test_lists(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert read_list(text) == ranges


@pytest.mark.parametrize(
    "text",
    ["a", "-1", "1-", "3-1", "1-2-3", "0x1", "1;2", "\u0663", str(MAX_LIST_NUMBER + 1), "9" * 99],
)
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no number|invalid range|is above"):
        read_list(text)
