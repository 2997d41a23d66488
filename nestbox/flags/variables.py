"""The container's environment: ``-e`` and ``--env-file``, as docker reads them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError, reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE_LIMIT: Final = 1 << 20  # bytes
_MARK: Final = b"\xef\xbb\xbf"  # of UTF-8, as some editors begin a file with


def variables(
    items: Iterable[str], files: Iterable[str], caller: Mapping[str, str], directory: str
) -> tuple[str, ...]:
    """Return ``NAME=VALUE`` for each variable that is set, in order: files before ``-e``.

    ``NAME`` alone takes the caller's value, and sets nothing when the caller has none.

    Raises:
        UsageError: a file cannot be read, or a line in it is malformed.
    """
    found: list[str] = []
    for file in files:
        found += _inherit(read_file(os.path.join(directory, file), file), caller)
    found += _inherit(items, caller)
    return tuple(found)


def _inherit(items: Iterable[str], caller: Mapping[str, str]) -> Iterable[str]:
    for item in items:
        if "=" in item or not item:
            yield item  # an empty name is for the policy to refuse
        elif item in caller:
            yield f"{item}={caller[item]}"


def read_file(path: str, shown: str) -> list[str]:
    """Return the lines of an environment file that say something.

    A line is ``NAME=VALUE`` or ``NAME``; quotes and spaces are part of the value. Empty lines and
    those that begin with # are left out.

    Raises:
        UsageError: the file cannot be read, is too large, or a line is malformed.
    """
    data = _bytes(path, shown)
    if b"\0" in data:
        raise _bad(shown, "it contains a NUL character, which ends a string", "remove it")
    lines = []
    for number, raw in enumerate(data.removeprefix(_MARK).split(b"\n"), 1):
        line = os.fsdecode(raw.removesuffix(b"\r")).lstrip(" \t")
        if line and not line.startswith("#"):
            _check_line(line, f"line {number}", shown)
            lines.append(line)
    return lines


def _bytes(path: str, shown: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except (OSError, ValueError) as error:
        remedy = "give a file that can be read, with lines NAME=VALUE"
        raise _bad(shown, reason(error), remedy) from None
    if len(data) > FILE_LIMIT:
        raise _bad(
            shown,
            f"it is larger than {FILE_LIMIT >> 20} MiB, more than a program's environment can be",
            "give a file with lines NAME=VALUE",
        )
    return data


def _check_line(line: str, place: str, shown: str) -> None:
    name, separator, _ = line.partition("=")
    name = name if separator else name.rstrip(" \t")
    if not name:
        raise _bad(shown, f"{place} has no name before the =", "write NAME=VALUE")
    if any(char.isspace() for char in name):
        raise _bad(
            shown,
            f"{place} has a space in the name {name[:60]!r}",
            "write NAME=VALUE, without spaces around the =",
        )


def _bad(shown: str, cause: str, remedy: str) -> UsageError:
    return UsageError(f"--env-file {shown}", cause=cause, remedy=remedy)
