"""Text for terminals: wrapped, in columns, coloured only when asked. Pure."""

from __future__ import annotations

import re
from textwrap import TextWrapper

import msgspec

DEFAULT_WIDTH = 80
_NARROWEST, _WIDEST = 40, 100  # columns within which prose is laid out

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_FEW = 3
_LONG_LIST = re.compile(r"CAP_[A-Z0-9_]+(?:[, ]+CAP_[A-Z0-9_]+){10,}")


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal, or what stands in for one."""

    width: int = DEFAULT_WIDTH
    colour: bool = False

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour, when there are any."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour and text else text


def page_of(columns: int | None, *, colour: bool) -> Page:
    """Return the page for a terminal this wide; None is no terminal, so 80 columns, no colour."""
    if columns is None:
        return Page()
    return Page(width=max(_NARROWEST, min(columns, _WIDEST)), colour=colour)


def plain(text: str) -> str:
    """Return the text on one line, with what could steer a terminal written as an escape.

    Names of processes, paths and labels come from others and may hold any character.
    """
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def paragraph(text: str, page: Page, *, first: str = "", indent: int = 0) -> list[str]:
    """Return the text wrapped to the page behind ``first``, the further lines indented."""
    wrapper = TextWrapper(
        width=page.width,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=True,
    )
    return wrapper.wrap(plain(text)) or [first.rstrip()]


def labelled(label: str, text: str, page: Page, *, margin: int = 2, column: int = 10) -> list[str]:
    """Return ``label`` and a wrapped text beside it; nothing for an empty text."""
    if not text:
        return []
    first = " " * margin + label.ljust(column - margin)
    return paragraph(text, page, first=first.ljust(column), indent=column)


def shortened(text: str) -> str:
    """Return the text with each long list of capabilities cut: the JSON form has them all."""
    return _LONG_LIST.sub(_first_names, text)


def _first_names(match: re.Match[str]) -> str:
    names = re.findall(r"CAP_[A-Z0-9_]+", match[0])
    return f"{', '.join(names[:_FEW])} and {len(names) - _FEW} more"


def cut(text: str, width: int) -> str:
    """Return the text, or its beginning with an ellipsis when it is wider."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
