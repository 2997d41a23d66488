"""Rows of id maps: read from options, checked as the kernel checks them, laid out. Pure.

Source: user_namespaces(7), "Defining user and group ID mappings"; kernel/user_namespace.c.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nestbox.outer.facts import SubordinateIds

MANY_IDS: Final = 65536  # ids 0 to 65535, the last of which is nobody on most systems
MAX_ROWS: Final = 340  # UID_GID_MAP_MAX_EXTENTS
_MAX_TEXT: Final = 4095  # bytes of one write to a map: less than the smallest page
_ID_LIMIT: Final = (1 << 32) - 1  # ids are below; the last is (uid_t)-1


def parse_map(texts: Iterable[str], option: str, *, size_optional: bool) -> tuple[IdMap, ...]:
    """Return the rows of ``INSIDE:OUTSIDE:COUNT``, of which each text may have several.

    With ``size_optional`` a row without COUNT is of one id. ``option`` is what the user wrote.

    Raises:
        UsageError: it is something else, two rows overlap, or the kernel takes no such map.
    """
    items = [item for text in texts for item in text.split(",")]
    rows = tuple(_parse_row(item, option, size_optional=size_optional) for item in items)
    if len(rows) > MAX_ROWS:
        raise _bad_map(option, f"the kernel takes at most {MAX_ROWS} rows")
    if len(text_of(rows)) > _MAX_TEXT:
        raise _bad_map(option, f"its text is longer than {_MAX_TEXT} bytes, which the kernel takes")
    for side in ("inside", "outside"):
        ordered = sorted(rows, key=lambda row: int(getattr(row, side)))
        for one, after in pairwise(ordered):
            if getattr(one, side) + one.count > getattr(after, side):
                raise _bad_map(option, "two of its rows overlap")
    return rows


def text_of(rows: tuple[IdMap, ...]) -> str:
    """Return the rows as they are written to a map file."""
    return "".join(f"{row.inside} {row.outside} {row.count}\n" for row in rows)


def _parse_row(item: str, option: str, *, size_optional: bool) -> IdMap:
    fields = item.split(":")
    if size_optional and len(fields) == 2:
        fields.append("1")
    if len(fields) != 3 or not all(
        field.isascii() and field.isdigit() and len(field) <= 10 for field in fields
    ):
        raise _bad_map(option, f"{item!r} is not INSIDE:OUTSIDE:COUNT")
    inside, outside, count = map(int, fields)
    if count == 0 or inside + count > _ID_LIMIT or outside + count > _ID_LIMIT:
        raise _bad_map(option, f"{item!r} has no ids, or ids that do not exist")
    return IdMap(inside=inside, outside=outside, count=count)


def _bad_map(option: str, cause: str) -> UsageError:
    return UsageError(
        option,
        cause=cause,
        remedy="write --userns host, auto, keep-id or INSIDE:OUTSIDE:COUNT[,…], or --uidmap and "
        "--gidmap with such rows",
    )


def covers(outer: tuple[IdMap, ...], row: IdMap) -> bool:
    """Return whether every outside id of the row exists in one row of the outer map.

    Source: kernel/user_namespace.c map_id_range_down, which asks one extent.
    """
    return any(
        there.inside <= row.outside and row.outside + row.count <= there.inside + there.count
        for there in outer
    )


def available(
    ranges: tuple[SubordinateIds, ...], outer: tuple[IdMap, ...], *, but: int | None
) -> tuple[tuple[int, int], ...]:
    """Return the pieces (first, count) of the ranges that exist in the outer user namespace.

    Each piece lies in one row of the outer map; the id ``but`` is left out, as one map cannot have
    it twice.
    """
    return _pieces(((ids.first, ids.count) for ids in ranges), outer, but)


def all_available(outer: tuple[IdMap, ...], *, but: int | None) -> tuple[tuple[int, int], ...]:
    """Return the pieces of all ids that exist in the outer user namespace, without ``but``."""
    return _pieces(((row.inside, row.count) for row in outer), outer, but)


def _pieces(
    ranges: Iterable[tuple[int, int]], outer: tuple[IdMap, ...], but: int | None
) -> tuple[tuple[int, int], ...]:
    found = []
    for first, count in ranges:
        for row in outer:
            low = max(first, row.inside)
            high = min(first + count, row.inside + row.count)
            found += [
                (start, end - start) for start, end in _without(low, high, but) if start < end
            ]
    return tuple(found)


def _without(low: int, high: int, but: int | None) -> Iterator[tuple[int, int]]:
    if but is None or not low <= but < high:
        yield low, high
        return
    yield low, but
    yield but + 1, high


def lay_out(
    pieces: tuple[tuple[int, int], ...], *, own: tuple[int, int] | None
) -> tuple[IdMap, ...]:
    """Return the map that puts the pieces at 0 and up, ``MANY_IDS`` of them at most.

    ``own`` is (inside, outside) of one id that has its place among them. What does not fit into the
    rows and the text of one map is left out.
    """
    rows = [] if own is None else [IdMap(inside=own[0], outside=own[1], count=1)]
    place, left = 0, MANY_IDS
    for first, size in pieces:
        outside, count = first, min(size, left)
        left -= count
        while count:
            if own is not None and place == own[0]:
                place += 1
            room = own[0] - place if own is not None and place < own[0] else count
            taken = min(count, room)
            row = IdMap(inside=place, outside=outside, count=taken)
            if len(rows) == MAX_ROWS or len(text_of((*rows, row))) > _MAX_TEXT:
                return _in_order(rows)
            rows.append(row)
            place, outside, count = place + taken, outside + taken, count - taken
    return _in_order(rows)


def _in_order(rows: list[IdMap]) -> tuple[IdMap, ...]:
    return tuple(sorted(rows, key=lambda row: row.inside))


def shown(rows: tuple[IdMap, ...]) -> str:
    """Return a map in words."""
    few = ", ".join(f"{row.inside} to {row.outside} for {row.count}" for row in rows[:4])
    return few if len(rows) <= 4 else f"{few}, and {len(rows) - 4} rows more"
