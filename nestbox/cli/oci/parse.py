"""Command lines as runc reads them: options of a table, their values, and the arguments left.

An option has one dash or two. Its value follows as the next word or behind "="; that of a flag
only behind "=". Options that come behind the first argument count too, except for commands that
pass on what follows it; a word there that looks like an option but is none is an argument.
"""

from __future__ import annotations

from nestbox.cli.oci.command import DURATION, FLAG, NUMBER, NUMBERS, Option, Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
    "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip


class BadCommandLine(Exception):
    """What is wrong with the words of a command line, in runc's phrase."""


def parse(
    options: Sequence[Option], words: Sequence[str], *, stop_early: bool
) -> tuple[Values, list[str]]:
    """Return the values of the options and the arguments.

    Raises:
        BadCommandLine: an option is unknown, or its value is missing or cannot be one.
    """
    table = {name: option for option in options for name in option.names}
    values, arguments = Values(), list[str]()
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return values, [*arguments, *words[position:]]
        name, has_value, value = _split(word)
        option = table.get(name)
        if not name or (option is None and arguments):
            arguments.append(word)
            if stop_early:
                return values, [*arguments, *words[position:]]
            continue
        if option is None:
            raise BadCommandLine(f"flag provided but not defined: -{name}")
        if option.kind == FLAG and not has_value:
            value = "true"
        elif not has_value:
            if position == len(words):
                raise BadCommandLine(f"flag needs an argument: -{name}")
            value = words[position]
            position += 1
        values.add(option, _read(option, name, value))
    return values, arguments


def _split(word: str) -> tuple[str, bool, str]:
    """Return the name of an option, whether "=" follows it, and the value; no name: it is none."""
    if not word.startswith("-") or word == "-":
        return "", False, ""
    name, separator, value = word.removeprefix("-").removeprefix("-").partition("=")
    return name, bool(separator), value


def _read(option: Option, name: str, value: str) -> str | int | bool:
    """Return a value in its type. Raises BadCommandLine."""
    if option.kind == FLAG:
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise BadCommandLine(f'invalid boolean value "{value}" for -{name}: parse error')
    if option.kind in {NUMBER, NUMBERS}:
        return _number(name, value)
    if option.kind == DURATION:
        return _duration(name, value)
    return value


def _number(name: str, value: str) -> int:
    """Return a whole number, in the notations of C: decimal, 0x, 0o, 0b or a leading 0."""
    digits = value.removeprefix("-").removeprefix("+")
    base = 8 if len(digits) > 1 and digits[0] == "0" and digits.isdigit() else 0
    try:
        if digits != digits.strip():
            raise ValueError
        return int(value, base)
    except ValueError:
        raise BadCommandLine(f'invalid value "{value}" for flag -{name}: parse error') from None


def _duration(name: str, value: str) -> int:
    """Return nanoseconds from text as "1h30m" or "2.5s"; a number without unit is only 0."""
    total, rest = 0.0, value.removeprefix("-").removeprefix("+")
    bad = f'invalid value "{value}" for flag -{name}: parse error'
    if rest == "0":
        return 0
    if not rest:
        raise BadCommandLine(bad)
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        letters = len(rest[digits:]) - len(rest[digits:].lstrip("nuµmsh"))
        unit = _UNITS.get(rest[digits : digits + letters])
        number = rest[:digits]
        if unit is None or not number.strip(".") or number.count(".") > 1:
            raise BadCommandLine(bad)
        total += float(number) * unit
        rest = rest[digits + letters :]
    return -round(total) if value.startswith("-") else round(total)
