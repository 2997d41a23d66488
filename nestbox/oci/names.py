"""Ids of containers, and lists of CPUs and memory nodes: text forms shared by many fields.

Source: runtime-spec 1.3, runtime.md "State" (id); cpuset(7), "List format".
"""

from __future__ import annotations

from nestbox.errors import UsageError

TYPE_CHECKING = False  # delete and kill load this file, and typing takes longer than they do
if TYPE_CHECKING:
    from typing import Final

MAX_ID_BYTES: Final = 255  # NAME_MAX: the id names a directory
MAX_LIST_NUMBER: Final = 64 * 1024 - 1  # more than the CPUs of any machine

_ID_CHARACTERS: Final = frozenset(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_+-."
)


def check_container_id(name: str) -> None:
    """Refuse what cannot be the id of a container.

    Raises:
        UsageError: it is empty, too long, ``.`` or ``..``, or has a character other than
            ``A-Z a-z 0-9 _ + - .``; the phrase begins as runc's does.
    """
    if not name:
        cause = "it is empty"
    elif len(name) > MAX_ID_BYTES:
        cause = f"it is longer than {MAX_ID_BYTES} characters"
    elif name in {".", ".."}:
        cause = "it would be another directory"
    elif not _ID_CHARACTERS.issuperset(name):
        cause = "it has other characters than letters, digits, '_', '+', '-' and '.'"
    else:
        return
    raise UsageError(f"invalid container ID format: {name!r}", cause=cause, remedy="choose another")


def read_list(text: str) -> tuple[tuple[int, int], ...]:
    """Return the ranges of a list such as ``0-3,7``, each with its first and last number.

    Spaces around a range and empty parts are passed over; an empty text is no range.

    Raises:
        ValueError: a part is no number or range, or a number is above MAX_LIST_NUMBER.
    """
    return tuple(_read_range(part.strip()) for part in text.split(",") if part.strip())


def _read_range(part: str) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    low = _read_number(first, part)
    high = _read_number(last, part) if dash else low
    if low > high:
        raise ValueError(f"invalid range {part!r}")
    return low, high


def _read_number(text: str, part: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{part!r} is no number or range")
    if len(text) > len(str(MAX_LIST_NUMBER)) + 5 or int(text) > MAX_LIST_NUMBER:
        raise ValueError(f"{part!r} is above {MAX_LIST_NUMBER}")
    return int(text)
