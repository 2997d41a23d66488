"""Where in a text a decoder stopped, in the way people count."""

from __future__ import annotations


def located(data: bytes, message: str) -> str:
    """Return a message of msgspec with the byte that it names turned into a line."""
    before, marker, rest = message.partition("(byte ")
    number = rest.partition(")")[0]
    if not marker or not number.isdecimal():
        return message
    line = data.count(b"\n", 0, int(number)) + 1
    return f"{before.strip()}, line {line}"
