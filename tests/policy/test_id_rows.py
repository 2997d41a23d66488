"""Rows of id maps: what the kernel takes, and how ids are laid out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, SubordinateIds
from nestbox.policy.id_rows import (
    MANY_IDS,
    MAX_ROWS,
    all_available,
    available,
    covers,
    lay_out,
    parse_map,
    shown,
    text_of,
)

LIMIT = (1 << 32) - 1
EVERY = (IdMap(inside=0, outside=0, count=LIMIT),)


def row(inside: int, outside: int, count: int) -> IdMap:
    return IdMap(inside=inside, outside=outside, count=count)


def parse(*texts: str, size_optional: bool = False) -> tuple[IdMap, ...]:
    return parse_map(texts, "--uidmap", size_optional=size_optional)


def test_rows_come_from_one_text_or_from_several() -> None:
    assert parse("0:5:2,9:8:1") == parse("0:5:2", "9:8:1") == (row(0, 5, 2), row(9, 8, 1))


def test_a_row_of_a_flag_is_of_one_id_unless_it_says_more() -> None:
    assert parse("0:5", "9:8:3", size_optional=True) == (row(0, 5, 1), row(9, 8, 3))
    with pytest.raises(UsageError):
        parse("0:5")


@pytest.mark.parametrize(
    "texts",
    [("",), ("nobody",), ("0:0",), ("0:0:0",), ("0:0:-1",), ("0:0:1,",), ("a:0:1",),
     ("0:0:4294967296",), ("0:0:2", "1:5:1"), ("0:0:2", "5:1:1"), ("4294967295:0:1",),
     ("0:4294967294:2",), ("0:4294967295:1",), ("0:0:1\n",), ("\u00b2:0:1",), ("0:0:1:1",),
     ("+0:0:1",), ("@0:0:1",), ("00000000000:0:1",)],
)  # fmt: skip
def test_what_the_kernel_would_not_take_is_a_usage_error(texts: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*texts)
    assert "\n" not in str(caught.value)


def test_the_last_id_that_exists_can_be_mapped() -> None:
    assert parse("0:4294967294:1") == (row(0, LIMIT - 1, 1),)


def test_more_rows_or_text_than_one_write_takes_are_usage_errors() -> None:
    assert len(parse(*(f"{n}:{n}:1" for n in range(MAX_ROWS)))) == MAX_ROWS
    with pytest.raises(UsageError, match="340"):
        parse(*(f"{n}:{n}:1" for n in range(MAX_ROWS + 1)))
    with pytest.raises(UsageError, match="4095"):
        parse(*(f"{10**9 + n}:{2 * 10**9 + n}:1" for n in range(MAX_ROWS)))


def test_a_row_must_lie_in_one_row_of_the_outer_map() -> None:
    outer = (row(0, 100, 10), row(10, 500, 10))
    assert covers(outer, row(0, 5, 5))
    assert not covers(outer, row(0, 5, 6))
    assert not covers(outer, row(0, 20, 1))


def test_ranges_are_cut_to_what_exists_outside_and_lies_in_one_row() -> None:
    outer = (row(0, 100, 10), row(10, 500, 10))
    ranges = (SubordinateIds(first=5, count=10), SubordinateIds(first=19, count=100))
    assert available(ranges, outer, but=None) == ((5, 5), (10, 5), (19, 1))
    assert available(ranges, outer, but=6) == ((5, 1), (7, 3), (10, 5), (19, 1))
    assert all_available(outer, but=0) == ((1, 9), (10, 10))


def test_nothing_of_a_range_that_does_not_exist_outside_is_left() -> None:
    assert available((SubordinateIds(first=100000, count=65536),), (row(0, 0, 10),), but=None) == ()


def test_own_id_has_its_place_and_the_others_go_around_it() -> None:
    assert lay_out(((100, 10),), own=(3, 7)) == (row(0, 100, 3), row(3, 7, 1), row(4, 103, 7))
    assert lay_out(((100, 2),), own=(3, 7)) == (row(0, 100, 2), row(3, 7, 1))
    assert lay_out(((100, 2),), own=(0, 7)) == (row(0, 7, 1), row(1, 100, 2))


def test_pieces_more_than_a_map_has_rows_are_left_out() -> None:
    found = lay_out(tuple((n * 2, 1) for n in range(1000)), own=None)
    assert len(found) == MAX_ROWS
    assert len(text_of(found)) < 4096


def test_long_maps_are_shown_in_short() -> None:
    rows = tuple(row(n, n * 2, 1) for n in range(6))
    assert shown(rows).endswith("and 2 rows more")


pieces = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.integers(1, 1 << 18)), min_size=1, max_size=8
)


@given(pieces, st.none() | st.tuples(st.integers(0, 70000), st.integers(1 << 21, 1 << 22)))
def test_every_layout_is_a_map_that_the_kernel_takes(
    found: list[tuple[int, int]], own: tuple[int, int] | None
) -> None:
    distinct = []
    end = 0
    for first, count in sorted(found):
        start = max(first, end)
        if start < first + count:
            distinct.append((start, first + count - start))
            end = first + count
    rows = lay_out(tuple(distinct), own=own)
    text = ",".join(f"{one.inside}:{one.outside}:{one.count}" for one in rows)
    assert parse(text) == rows
    assert sum(one.count for one in rows) <= MANY_IDS + 1
    assert own is None or row(own[0], own[1], 1) in rows
    below = [one for one in rows if own is None or one.inside != own[0]]
    filled = sum(one.count for one in below)
    assert filled == min(sum(count for _, count in distinct), MANY_IDS)
    assert all(a.inside + a.count <= b.inside for a, b in pairwise(rows))
