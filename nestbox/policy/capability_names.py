"""Capability names as users write them, read into numbers; every bad one is told at once. Pure.

A name is case-insensitive and needs no ``CAP_``; a number does as well (``21``, ``CAP_21``).
``ALL`` means what can be granted here. A question mark at the end makes one request lenient.

A name written twice is the same wish twice and harmless. ``ALL`` twice is an error, as is ``ALL?``:
ALL is lenient already, so either shows that something else was meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import UsageError
from nestbox.kernel.capabilities import BY_NAME, HIGHEST_NUMBER, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL_NAMES = ("ALL",)
ALL_NAMES_OF_CONFIG = ("ALL_CAPS", "ALL")  # config.json: runtime-spec config.md, "Linux process"

_SHOWN_LENGTH = 60

# Both spellings, so that the common case is one lookup.
_NUMBERS: dict[str, int] = BY_NAME | {name[4:]: number for name, number in BY_NAME.items()}


class CapabilityName(msgspec.Struct, frozen=True, kw_only=True):
    """One name as it was written, and which capability it means."""

    text: str  # as the user wrote it
    number: int | None  # None is ALL
    lenient: bool  # a question mark at the end, or ALL

    @property
    def is_all(self) -> bool:
        """Whether it means everything that can be granted here."""
        return self.number is None


class BadName(msgspec.Struct, frozen=True, kw_only=True):
    """One name that means no capability, and why."""

    text: str
    cause: str
    suggestion: str = ""  # the name that was probably meant


def read_name(text: str, all_names: tuple[str, ...] = ALL_NAMES) -> CapabilityName | BadName:
    """Return which capability the text means, or why it means none."""
    lenient = text.endswith("?")
    bare = text[:-1] if lenient else text
    # str.upper maps some letters outside ASCII into it, and those are no names.
    upper = bare.upper() if bare.isascii() else bare
    number = _NUMBERS.get(upper)
    if number is not None:
        return CapabilityName(text=text, number=number, lenient=lenient)
    if upper in all_names:
        if lenient:
            return BadName(text=text, cause="is lenient already", suggestion=upper)
        return CapabilityName(text=text, number=None, lenient=True)
    digits = upper.removeprefix("CAP_")
    if digits.isascii() and digits.isdigit() and len(digits) <= 2 and int(digits) <= HIGHEST_NUMBER:
        return CapabilityName(text=text, number=int(digits), lenient=lenient)
    return _explain(text, upper, digits)


def read_names(
    sources: Iterable[tuple[str, tuple[str, ...]]], all_names: tuple[str, ...] = ALL_NAMES
) -> tuple[tuple[CapabilityName, ...], ...]:
    """Return the names of each source (``("--cap-add", texts)``), in the order given.

    Raises:
        UsageError: one or more names are bad, or ALL stands twice in a source; it lists them all.
    """
    read: list[tuple[CapabilityName, ...]] = []
    bad: list[tuple[str, BadName]] = []
    for origin, texts in sources:
        names: list[CapabilityName] = []
        seen_all = False
        for text in texts:
            name = read_name(text, all_names)
            if isinstance(name, BadName):
                bad.append((origin, name))
                continue
            if name.number is None:
                if seen_all:
                    bad.append((origin, BadName(text=text, cause="is given twice")))
                seen_all = True
            names.append(name)
        read.append(tuple(names))
    if bad:
        raise _bad_names(bad)
    return tuple(read)


def contradictions(
    adds: tuple[CapabilityName, ...], drops: tuple[CapabilityName, ...]
) -> tuple[str, ...]:
    """Return the names that stand in both, ``("ALL",)`` included, in the order of the adds."""
    dropped = {name.number for name in drops}
    both = dict.fromkeys(name.number for name in adds if name.number in dropped)
    return tuple("ALL" if number is None else name_of(number) for number in both)


def shown(text: str) -> str:
    """Return the text quoted for a message, on one line and of bounded length."""
    cut = text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"
    return ascii(cut).replace("\\u2026", "…")


def _explain(text: str, upper: str, digits: str) -> BadName:
    """Return why the text, which is no known name, means no capability."""
    if not upper:
        return BadName(text=text, cause="is empty")
    if not digits:
        return BadName(text=text, cause="has no name after the prefix")
    if not (text.isascii() and text.isprintable()) or " " in text:
        return BadName(text=text, cause="has characters that no capability name has")
    if digits.isdigit():
        return BadName(text=text, cause=f"is above {HIGHEST_NUMBER}, the last that a set can hold")
    if digits[0] in "-+" and digits[1:].isdigit():
        return BadName(text=text, cause=f"is not a number from 0 to {HIGHEST_NUMBER}")
    return BadName(text=text, cause="is not a capability", suggestion=_similar(digits))


def _similar(name: str) -> str:
    """Return the known name without its prefix that is most like this one, or nothing."""
    from difflib import get_close_matches

    known = [known for known in _NUMBERS if not known.startswith("CAP_")]
    matches = get_close_matches(name[:_SHOWN_LENGTH], [*known, *ALL_NAMES], n=1)
    return matches[0] if matches else ""


def _bad_names(bad: list[tuple[str, BadName]]) -> UsageError:
    """Return one error that lists every bad name with its cause."""
    causes = []
    for origin, name in bad:
        hint = f" (did you mean {name.suggestion}?)" if name.suggestion else ""
        causes.append(f"{origin} {shown(name.text)} {name.cause}{hint}")
    return UsageError(
        "bad capability name" + ("s" if len(bad) > 1 else ""),
        cause="; ".join(causes),
        remedy="names and numbers are listed by: nestbox caps",
    )
