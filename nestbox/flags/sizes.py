"""Numbers on the command line: sizes, processors, processes. Pure: text in, number out."""

from __future__ import annotations

import re
from typing import Final

from nestbox.errors import UsageError

# As docker reads it: a number, maybe with a fraction, then a unit in powers of 1024.
_SIZE: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([kmgtp]?)(?:i?b)?", re.ASCII | re.I)
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DECIMAL: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}", re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)


def parse_size(text: str, flag: str) -> int:
    """Return a size in bytes: ``64m``, ``1.5g``, ``1048576``, ``512KiB``.

    Raises:
        UsageError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        negative = text.strip().startswith("-")
        raise UsageError(
            f"{flag} {text}",
            cause="a size is not negative" if negative else f"{text!r} is no size",
            remedy="give a number of bytes, or one with k, m or g behind it, as in 64m",
        )
    number, unit = match.groups()
    factor = _UNITS[unit.lower()]
    whole, _, fraction = number.partition(".")
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


def parse_cpus(text: str, flag: str) -> float:
    """Return a number of processors: ``2``, ``0.5``.

    Raises:
        UsageError: the text is no such number.
    """
    if _DECIMAL.fullmatch(text.strip()) is None:
        raise UsageError(
            f"{flag} {text}",
            cause=f"{text!r} is no number of processors",
            remedy="give a number such as 0.5 or 2",
        )
    return float(text)


def parse_count(text: str, flag: str) -> int:
    """Return a whole number, which may be negative: -1 and ``unlimited`` are -1.

    Raises:
        UsageError: the text is no whole number.
    """
    if text.strip() == "unlimited":
        return -1
    if _WHOLE.fullmatch(text.strip()) is None:
        raise UsageError(
            f"{flag} {text}",
            cause=f"{text!r} is no whole number",
            remedy="give a number such as 256, or -1 for no limit",
        )
    return int(text)
