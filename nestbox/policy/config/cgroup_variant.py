"""Values of systemd properties as annotations write them, in the text form of GVariant. Pure.

``uint64 5000000``, ``'inactive-or-failed'``, ``true``, ``['a', 'b']``: a value with at most one
type before it, or a list of such values of one type. Nothing is evaluated.

Source: the GVariant text format of GLib; runtime-spec does not fix these annotations, runc and
crun agree on them (``org.systemd.property.NAME``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nestbox.errors import ConfigError

Value = bool | int | float | str | list["Value"]
Property = tuple[str, tuple[str, object]]  # as D-Bus has it: (sv), the variant as signature, value

PREFIX: Final = "org.systemd.property."
_INTEGERS: Final = {  # by the word of the text form: signature, least and greatest value
    "byte": ("y", 0, 0xFF),
    "int16": ("n", -(1 << 15), (1 << 15) - 1),
    "uint16": ("q", 0, (1 << 16) - 1),
    "int32": ("i", -(1 << 31), (1 << 31) - 1),
    "uint32": ("u", 0, (1 << 32) - 1),
    "int64": ("x", -(1 << 63), (1 << 63) - 1),
    "uint64": ("t", 0, (1 << 64) - 1),
}
_WORDS: Final = {"string": "s", "objectpath": "o", "signature": "g"}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_MICROSECONDS: Final = 1_000_000


def annotated_properties(annotations: Mapping[str, str]) -> tuple[Property, ...]:
    """Return the properties that annotations set, in the order of their names.

    A name that ends in Sec, as the documentation has it, is the one in USec that the bus knows.

    Raises:
        ConfigError: a name is none of a property, or a value cannot be read.
    """
    found = []
    for key in sorted(annotations):
        if key.startswith(PREFIX):
            found.append(_property(key, annotations[key]))
    return tuple(found)


def _property(key: str, text: str) -> Property:
    name = key.removeprefix(PREFIX)
    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        raise _bad(key, "it is no name of a property: three letters at least, and nothing else")
    try:
        signature, value = parse_variant(text)
    except ValueError as error:
        raise _bad(key, f"value parse error: {error}") from error
    if name.endswith("Sec") and name[-4:-3].islower():
        if signature not in "nqiuxtdy" or isinstance(value, str | list):
            raise _bad(key, "a time is a number")
        return f"{name[:-3]}USec", ("t", int(value * _MICROSECONDS))
    return name, (signature, value)


def parse_variant(text: str) -> tuple[str, Value]:
    """Return the D-Bus signature and the value of a text. Raises ValueError."""
    signature, value, rest = _value(text.strip())
    if rest.strip():
        raise ValueError(f"{rest.strip()!r} is left over")
    return signature, value


def _value(text: str) -> tuple[str, Value, str]:
    """Return the signature and value at the start of a text, and what follows it."""
    if text[:1] in {"'", '"'}:
        value, rest = _quoted(text)
        return "s", value, rest
    if text.startswith(("[", "@as")):
        empty = "as" if text.startswith("@as") else ""
        return _list(text.removeprefix("@as").lstrip().removeprefix("[").lstrip(), empty=empty)
    word, rest = _word(text)
    if word in _WORDS:
        value, rest = _quoted(rest.lstrip())
        return _WORDS[word], value, rest
    if word in _INTEGERS or word in {"double", "boolean"}:
        literal, rest = _word(rest.lstrip())
        return (*_typed(word, literal), rest)
    return (*_untyped(word), rest)


def _word(text: str) -> tuple[str, str]:
    end = next((at for at, sign in enumerate(text) if sign in " ,]\t"), len(text))
    return text[:end], text[end:]


def _typed(word: str, literal: str) -> tuple[str, Value]:
    if word == "double":
        return "d", float(literal)
    if word == "boolean":
        if literal not in {"true", "false"}:
            raise ValueError(f"{literal!r} is no boolean")
        return "b", literal == "true"
    signature, least, greatest = _INTEGERS[word]
    value = int(literal, 0)
    if not least <= value <= greatest:
        raise ValueError(f"{value} is no {word}")
    return signature, value


def _untyped(literal: str) -> tuple[str, Value]:
    """Return a boolean, or a number without a type, which is an int32 or a double."""
    if literal in {"true", "false"}:
        return "b", literal == "true"
    try:
        value = int(literal, 0)
    except ValueError:
        return "d", float(literal)
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(f"{value} is no int32: write its type before it")
    return "i", value


def _quoted(text: str) -> tuple[str, str]:
    quote = text[:1]
    if quote not in {"'", '"'}:
        raise ValueError(f"{text!r} does not begin with a quote")
    found: list[str] = []
    place = 1
    while place < len(text) and text[place] != quote:
        if text[place] == "\\":
            place += 1
            escaped = text[place : place + 1]
            found.append(_ESCAPES.get(escaped, escaped))
        else:
            found.append(text[place])
        place += 1
    if place >= len(text):
        raise ValueError("the closing quote is missing")
    if "\0" in found:
        raise ValueError("a string cannot have a NUL in it")
    return "".join(found), text[place + 1 :]


def _list(text: str, *, empty: str = "") -> tuple[str, Value, str]:
    values: list[Value] = []
    signature = empty.removeprefix("a")
    while not text.startswith("]"):
        kind, value, text = _value(text)
        if signature and kind != signature:
            raise ValueError("the values of a list are of one type")
        signature = kind
        values.append(value)
        text = text.lstrip()
        if text.startswith(","):
            text = text[1:].lstrip()
        elif not text.startswith("]"):
            raise ValueError("the closing bracket is missing")
    if not signature:
        raise ValueError("an empty list needs its type: @as []")
    return f"a{signature}", values, text[1:]


def _bad(key: str, cause: str) -> ConfigError:
    return ConfigError(
        f"cannot use the annotation {key}",
        cause=cause,
        remedy="write it as in: org.systemd.property.TimeoutStopUSec: 'uint64 5000000'",
    )
