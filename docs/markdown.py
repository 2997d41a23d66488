"""The pieces that pages of Markdown are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from docs.source import Field, comments_of, fields_of

_MADE: Final = "<!-- Made by `python -m docs.generate`; change the program, not this file. -->"


def page(title: str, *blocks: str) -> str:
    """Return a page that says by what it was made; empty blocks are left out."""
    return "\n\n".join((_MADE, f"# {title}", *(block for block in blocks if block))) + "\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; a bar within a cell is escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(x.replace("|", "\\|") for x in row) + " |" for row in lines)


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    kept = "".join(x for x in heading.lower() if x.isalnum() or x in " -_")
    return kept.replace(" ", "-")


def link(heading: str) -> str:
    """Return a list item that leads to a heading."""
    return f"- [{heading}](#{anchor(heading)})"


def sections(kinds: Sequence[type]) -> list[str]:
    """Return the contents list and one section for each kind of value."""
    contents = "\n".join(link(kind.__name__) for kind in kinds)
    return [contents, *(_kind(kind) for kind in kinds)]


def _kind(kind: type) -> str:
    head = f"## {kind.__name__}\n\n" + _prose(kind)
    if issubclass(kind, msgspec.Struct):
        return f"{head}\n\n{_fields(fields_of(kind))}"
    notes = comments_of(kind)
    assert issubclass(kind, StrEnum)
    rows = [(f"`{one}`" if one else "(empty)", notes.get(one.name, "")) for one in kind]
    return f"{head}\n\n{table(('value', 'meaning'), rows)}"


def _prose(kind: type) -> str:
    """Return the docstring as paragraphs of Markdown."""
    paragraphs = (kind.__doc__ or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(text.split()) for text in paragraphs).strip()


def _fields(rows: Sequence[Field]) -> str:
    if not any(row.comment for row in rows):
        return table(("field", "type"), [(f"`{x.name}`", f"`{x.type}`") for x in rows])
    return table(
        ("field", "type", "meaning"), [(f"`{x.name}`", f"`{x.type}`", x.comment) for x in rows]
    )
