"""JSON with nothing but the interpreter's own C parts.

The commands that engines call for a container that exists read one small file and send a signal or
remove a directory: the modules ``json`` (9 ms) and ``msgspec`` (25 ms) would be most of their time.
Values are those of ``json``: dict, list, str, int, float, bool, None.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAXIMUM_DEPTH = 200
_SPACE = " \t\n\r"


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no value of JSON")


class _Options:
    """What the C scanner asks of the decoder that it belongs to."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse)


# Typed as one of its own kind by the stubs; any object with these members does.
_options: Any = _Options()
_scan = _json.make_scanner(_options)


def decode(text: str) -> Any:
    """Return the value that a JSON document stands for.

    Raises:
        ValueError: the text is no JSON document.
    """
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scan(text, start)
    except (StopIteration, RecursionError, SystemError, ValueError) as error:
        # SystemError: with json.decoder not loaded, the scanner cannot make its own error.
        raise ValueError("it is not JSON") from error
    if text[end:].strip(_SPACE):
        raise ValueError(f"there is something after the JSON document, at character {end}")
    return value


def encode(value: Any, *, indent: str = "") -> str:
    """Return a value as a JSON document, in ASCII.

    It is one line, unless there is an ``indent``: then each member is in a line of its own, behind
    one indent for each level.

    Raises:
        TypeError: it has something else than the types above in it.
    """
    parts: list[str] = []
    _write(value, parts.append, _MAXIMUM_DEPTH, "\n" if indent else "", indent)
    return "".join(parts)


def _write(value: Any, put: Any, depth: int, line: str, indent: str) -> None:
    if depth == 0:
        raise TypeError("it is nested too deeply for a JSON document of ours")
    if isinstance(value, str):
        put(_json.encode_basestring_ascii(value))
    elif value is None or isinstance(value, bool):
        put({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, (int, float)):
        put(repr(value))
    elif isinstance(value, dict):
        _write_object(value, put, depth, line, indent)
    elif isinstance(value, (list, tuple)):
        inner = line + indent
        put("[")
        for number, item in enumerate(value):
            put(f",{inner}" if number else inner)
            _write(item, put, depth - 1, inner, indent)
        put(f"{line}]" if value else "]")
    else:
        raise TypeError(f"{type(value).__name__} is no type of JSON")


def _write_object(value: dict[str, Any], put: Any, depth: int, line: str, indent: str) -> None:
    inner = line + indent
    colon = ": " if indent else ":"
    put("{")
    for number, (name, item) in enumerate(value.items()):
        put(f",{inner}" if number else inner)
        put(_json.encode_basestring_ascii(name) + colon)
        _write(item, put, depth - 1, inner, indent)
    put(f"{line}}}" if value else "}")
