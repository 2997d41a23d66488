"""The kinds of values that keys of a profile take: each checks, describes and forms its values.

This module imports the standard library alone: the build compiles the shipped profiles with it
where nothing else is installed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]

_SIZE_PATTERN = r"^[1-9][0-9]{0,11}([kmgtKMGT]([iI]?[bB])?|[bB])?$"
_MAX_ITEMS = 512
_MAX_TEXT = 4096
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Problem(NamedTuple):
    """One thing that is wrong with a document."""

    path: Path  # of the value, or of the key when ``at_key``
    message: str
    at_key: bool = False


class Kind(Protocol):
    """What values one key takes."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the values."""

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield what is wrong with a value."""

    def normal(self, value: Any) -> Any:
        """Return a right value in the form that ``Profile`` is decoded from."""


class Flag:
    """True or false."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "boolean"}

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield a problem unless it is a boolean."""
        if not isinstance(value, bool):
            yield Problem(path, f"{_what(value)} where true or false is wanted")

    def normal(self, value: Any) -> Any:
        """Return it as it is."""
        return value


class Text:
    """A text, of a pattern or free on one line."""

    def __init__(self, pattern: str, expected: str) -> None:
        self.pattern = pattern
        self.expected = expected

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "string", "pattern": self.pattern, "maxLength": _MAX_TEXT}

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield a problem unless it is a text of the pattern."""
        if not isinstance(value, str):
            yield Problem(path, f"{_what(value)} where {self.expected} is wanted")
        # \Z and not $: that would let a newline at the end pass.
        elif len(value) > _MAX_TEXT or not re.search(self.pattern[:-1] + r"\Z", value):
            yield Problem(path, f"{_what(value)} is not {self.expected}")

    def normal(self, value: Any) -> Any:
        """Return it as it is."""
        return value


class Word:
    """One of a closed set of words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"enum": list(self.words)}

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield a problem unless it is one of the words."""
        if not isinstance(value, str) or value not in self.words:
            hint = _did_you_mean(value, self.words) if isinstance(value, str) else ""
            yield Problem(path, f"{_what(value)} where {_one_of(self.words)} is wanted{hint}")

    def normal(self, value: Any) -> Any:
        """Return it as it is."""
        return value


class Number:
    """A number within bounds; a whole one unless ``fractions``."""

    def __init__(self, low: float, high: float, *, fractions: bool = False) -> None:
        self.low, self.high, self.fractions = low, high, fractions

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        kind = "number" if self.fractions else "integer"
        return {"type": kind, "minimum": self.low, "maximum": self.high}

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield a problem unless it is such a number."""
        kind = "a number" if self.fractions else "a whole number"
        types = (int, float) if self.fractions else (int,)
        if isinstance(value, bool) or not isinstance(value, types):
            yield Problem(path, f"{_what(value)} where {kind} is wanted")
        elif not self.low <= value <= self.high:
            yield Problem(path, f"{_what(value)} is not from {self.low} to {self.high}")

    def normal(self, value: Any) -> Any:
        """Return it as it is."""
        return value


class Either:
    """A value of the first kind, or else of the second."""

    def __init__(self, scalar: Kind, *, is_first: type | tuple[type, ...], other: Kind) -> None:
        self.first, self.is_first, self.other = scalar, is_first, other

    def _kind(self, value: object) -> Kind:
        return self.first if isinstance(value, self.is_first) else self.other

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"anyOf": [self.first.schema(), self.other.schema()]}

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the kind that the value seems to be of."""
        yield from self._kind(value).problems(value, path)

    def normal(self, value: Any) -> Any:
        """Return the form of the kind that the value is of."""
        return self._kind(value).normal(value)


class ListOf:
    """A list of values of one kind, without one twice."""

    def __init__(self, item: Kind) -> None:
        self.item = item

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {
            "type": "array",
            "items": self.item.schema(),
            "uniqueItems": True,
            "maxItems": _MAX_ITEMS,
        }

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the list and of each item."""
        if not isinstance(value, list):
            yield Problem(path, f"{_what(value)} where a list is wanted")
            return
        if len(value) > _MAX_ITEMS:
            yield Problem(path, f"a list of {len(value)} items; {_MAX_ITEMS} are allowed")
            return
        seen: set[str] = set()
        for index, item in enumerate(value):
            found = list(self.item.problems(item, (*path, index)))
            yield from found
            if not found and str(item) in seen:
                yield Problem((*path, index), f"{_what(item)} is listed twice")
            seen.add(str(item))

    def normal(self, value: Any) -> Any:
        """Return the list with each item in its form."""
        return [self.item.normal(item) for item in value]


class Keys:
    """A mapping with known keys."""

    def __init__(self, keys: Mapping[str, Kind], *, required: tuple[str, ...] = ()) -> None:
        self.keys, self.required = keys, required

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        described: dict[str, Any] = {
            "type": "object",
            "properties": {key: kind.schema() for key, kind in self.keys.items()},
            "additionalProperties": False,
        }
        if self.required:
            described["required"] = list(self.required)
        return described

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the mapping and of each value."""
        if not isinstance(value, dict):
            yield Problem(path, f"{_what(value)} where a mapping is wanted")
            return
        for key, item in value.items():
            kind = self.keys.get(key) if isinstance(key, str) else None
            if kind is None:
                hint = _did_you_mean(str(key), tuple(self.keys))
                yield Problem((*path, key), f"unknown key {_what(key)}{hint}", at_key=True)
            else:
                yield from kind.problems(item, (*path, key))
        for key in self.required:
            if key not in value:
                yield Problem(path, f"the key {key!r} is missing")

    def normal(self, value: Any) -> Any:
        """Return the mapping with each value in its form."""
        return {key: self.keys[key].normal(item) for key, item in value.items()}


class Size:
    """A number of bytes, as a number or as ``512m``."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1},
                {"type": "string", "pattern": _SIZE_PATTERN},
            ]
        }

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield a problem unless it is a size below 2**63 bytes."""
        if isinstance(value, str) and re.search(_SIZE_PATTERN[:-1] + r"\Z", value):
            value = self.normal(value)
        if isinstance(value, bool) or not isinstance(value, int):
            yield Problem(path, f"{_what(value)} where a size such as 512m is wanted")
        elif not 1 <= value < 1 << 63:
            yield Problem(path, f"{_what(value)} is not from 1 to 2**63 - 1 bytes")

    def normal(self, value: Any) -> Any:
        """Return the number of bytes; all units are powers of 1024, as docker has them."""
        if isinstance(value, int):
            return value
        digits = value.rstrip("kmgtibKMGTIB")
        unit = value[len(digits) :].lower().removesuffix("b").removesuffix("i")
        return int(digits) * _UNITS[unit]


POLICY = Word("lenient", "strict")


class Choice:
    """A word, or a mapping that says what the word alone leaves open."""

    def __init__(self, *words: str, also_called: str = "") -> None:
        self.word = Word(*words)
        self.also_called = also_called
        keys: dict[str, Kind] = {"want": self.word, "policy": POLICY, "otherwise": self.word}
        if also_called:
            keys[also_called] = self.word
        self.mapping = Keys(keys)
        self.names = ("want", also_called) if also_called else ("want",)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        mapping = self.mapping.schema()
        mapping["oneOf"] = [{"required": [name]} for name in self.names]
        return {"anyOf": [self.word.schema(), mapping]}

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the word or the mapping."""
        if not isinstance(value, dict):
            yield from self.word.problems(value, path)
            return
        yield from self.mapping.problems(value, path)
        wants = [name for name in self.names if name in value]
        if len(wants) != 1:
            state = "both given" if wants else "missing"
            yield Problem(path, f"the key {' or '.join(self.names)} is {state}")

    def normal(self, value: Any) -> Any:
        """Return the mapping with ``want``."""
        if not isinstance(value, dict):
            return {"want": value}
        return {"want" if key == self.also_called else key: item for key, item in value.items()}


def _what(value: object) -> str:
    """Return the value for a message, on one line and short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ascii(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _one_of(words: tuple[str, ...]) -> str:
    """Return ``a, b or c``."""
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]


def _did_you_mean(text: str, known: tuple[str, ...]) -> str:
    """Return a hint at the known word that is most like the text, or nothing."""
    from difflib import get_close_matches

    matches = get_close_matches(text[:60], known, n=1)
    return f" (did you mean {matches[0]}?)" if matches else ""
