"""JSON of names that need not be UTF-8: their bytes are lone surrogates, written as escapes."""

from __future__ import annotations

from typing import TypeVar

import msgspec

_Value = TypeVar("_Value", bound=msgspec.Struct)


def encode(value: msgspec.Struct) -> bytes:
    """Return the value as one line of JSON, without a newline."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()


def decode(data: bytes, kind: type[_Value]) -> _Value:
    """Return the value that was encoded. Raises msgspec.MsgspecError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        if rb"\ud" not in data:
            raise
        import json

        try:
            plain = json.loads(data)
        except ValueError:
            raise error from None
        return msgspec.convert(plain, kind)
