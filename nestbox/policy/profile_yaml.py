"""The text of a profile as plain values, each with its line and column.

The subset of YAML that a profile needs, read from PyYAML's events, which no nesting exhausts:
mappings with keys once each, lists, and scalars after the core schema of YAML 1.2, so that ``no``
and ``1024:59`` are texts. Tags and several documents are errors. An alias stands for the very value
of its anchor and is never expanded, and there may be few.

PyYAML is imported here alone, and only when a text is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from nestbox.errors import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 64 * 1024
_MAX_DEPTH = 16
_MAX_ALIASES = 64

_INTEGER = re.compile(r"[-+]?[0-9]{1,19}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})

Place = tuple[int, int]  # line and column, from 1


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A text that was read: its value, and where its parts stand, by their path."""

    file: str
    value: Any
    values: dict[tuple[str | int, ...], Place]
    keys: dict[tuple[str | int, ...], Place]

    def place(self, path: tuple[str | int, ...], *, at_key: bool = False) -> str:
        """Return ``FILE:LINE:COLUMN`` of a value, or of its key."""
        if at_key and path in self.keys:
            line, column = self.keys[path]
            return f"{self.file}:{line}:{column}"
        # What stands below an alias has no place of its own.
        while path and path not in self.values:
            path = path[:-1]
        line, column = self.values[path]
        return f"{self.file}:{line}:{column}"


def read_document(data: bytes, file: str) -> Document:
    """Return the one document of a text.

    Raises:
        ProfileError: it is too long, not UTF-8, not YAML, or uses more of YAML than a profile may.
    """
    if len(data) > MAX_BYTES:
        raise _error(file, (1, 1), f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise _error(file, (line, column), f"byte {data[error.start]:#04x} is not UTF-8") from None
    builder = _Builder(file)
    for event in _events(text, file):
        builder.take(event)
    if builder.documents == 0:
        raise _error(file, (1, 1), "is empty")
    return Document(file=file, value=builder.root, values=builder.values, keys=builder.keys)


def _events(text: str, file: str) -> Iterator[Any]:
    """Yield PyYAML's events of a text."""
    import yaml

    # libyaml itself where it was compiled in: the parser written in Python is ten times slower.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if "nesting depth" in (error.problem or ""):
            # libyaml's own limit, which a parser that looks ahead meets before ours.
            raise _error(file, place, f"is nested more than {_MAX_DEPTH} deep") from None
        raise _error(file, place, f"not YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        column = position - text.rfind("\n", 0, position)
        raise _error(file, (line, column), f"not YAML: {error.reason}") from None
    except RecursionError:
        raise _error(file, (1, 1), "is nested too deeply") from None


class _Open:
    """A collection whose end has not come yet."""

    def __init__(self, value: dict[str, Any] | list[Any], path: tuple[str | int, ...]) -> None:
        self.value = value
        self.path = path
        self.key: str | None = None
        self.anchor: str | None = None


class _Builder:
    """Makes values of events, and remembers where each stood."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Any = None
        self.documents = 0
        self.values: dict[tuple[str | int, ...], Place] = {}
        self.keys: dict[tuple[str | int, ...], Place] = {}
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._aliases = 0

    def take(self, event: Any) -> None:
        """Handle one event.

        Raises:
            ProfileError: it is something that a profile may not have.
        """
        match type(event).__name__:
            case "DocumentStartEvent":
                self.documents += 1
                if self.documents > 1:
                    raise self._wrong(event, "holds more than one document")
            case "ScalarEvent":
                self._scalar(event)
            case "AliasEvent":
                self._alias(event)
            case "MappingStartEvent":
                self._start(event, {})
            case "SequenceStartEvent":
                self._start(event, [])
            case "MappingEndEvent" | "SequenceEndEvent":
                closed = self._open.pop()
                if closed.anchor:
                    self._anchors[closed.anchor] = closed.value
            case _:  # the ends of streams and documents say nothing more
                pass

    def _scalar(self, event: Any) -> None:
        if event.tag is not None:
            raise self._wrong(event, f"has the tag {event.tag!a}; tags are not allowed")
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._key(parent, event)
            return
        plain = event.style is None or event.style == ""
        value = _plain_value(event.value) if plain else event.value
        self._put(event, value)
        if event.anchor:
            self._anchors[event.anchor] = value

    def _key(self, parent: _Open, event: Any) -> None:
        """Take a scalar as the key of a mapping."""
        key = event.value
        if isinstance(parent.value, dict) and key in parent.value:
            raise self._wrong(event, f"the key {key!a} is there twice")
        parent.key = key
        self.keys[(*parent.path, key)] = _place(event)

    def _alias(self, event: Any) -> None:
        self._aliases += 1
        if self._aliases > _MAX_ALIASES:
            raise self._wrong(event, f"has more than {_MAX_ALIASES} aliases")
        if event.anchor not in self._anchors:
            raise self._wrong(event, f"the alias *{event.anchor} has no anchor that ends before it")
        self._not_a_key(event)
        self._put(event, self._anchors[event.anchor])

    def _start(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        if event.tag is not None:
            raise self._wrong(event, f"has the tag {event.tag!a}; tags are not allowed")
        if len(self._open) >= _MAX_DEPTH:
            raise self._wrong(event, f"is nested more than {_MAX_DEPTH} deep")
        self._not_a_key(event)
        opened = _Open(value, self._put(event, value))
        opened.anchor = event.anchor
        self._open.append(opened)

    def _not_a_key(self, event: Any) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            raise self._wrong(event, "a key must be a text")

    def _put(self, event: Any, value: Any) -> tuple[str | int, ...]:
        """Hang a value into the collection that is open, and return its path."""
        if not self._open:
            self.root = value
            self.values[()] = _place(event)
            return ()
        parent = self._open[-1]
        if isinstance(parent.value, list):
            path = (*parent.path, len(parent.value))
            parent.value.append(value)
        else:
            key = parent.key or ""
            path = (*parent.path, key)
            parent.value[key] = value
            parent.key = None
        self.values[path] = _place(event)
        return path

    def _wrong(self, event: Any, cause: str) -> ProfileError:
        return _error(self.file, _place(event), cause)


def _plain_value(text: str) -> Any:
    """Return what an unquoted scalar means. Source: YAML 1.2.2, 10.3.2 "Tag Resolution"."""
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _place(event: Any) -> Place:
    """Return where an event begins, from 1."""
    return event.start_mark.line + 1, event.start_mark.column + 1


def _error(file: str, place: Place, cause: str) -> ProfileError:
    return ProfileError(
        f"cannot read profile {file}",
        cause=f"{file}:{place[0]}:{place[1]}: {cause}",
        remedy="see a working one: nestbox profile show default",
    )
