"""``-p [ADDRESS:][PORT[-PORT]:]PORT[-PORT][/PROTOCOL]``, as docker and podman write it. Pure."""

from __future__ import annotations

from typing import Final

from nestbox.errors import UsageError
from nestbox.policy.request import PortRequest

_PROTOCOLS: Final = ("tcp", "udp")
_HIGHEST: Final = 65535
_FORM: Final = "write -p [ADDRESS:][PORT:]PORT[/tcp|/udp], as in -p 8080:80"
_PARTS: Final = 3


def parse_port(text: str) -> tuple[PortRequest, ...]:
    """Return the ports of one option: as many as its range has.

    Raises:
        UsageError: it has not this form, or a port, range, address or protocol is none.
    """
    asked_by = f"-p {text}"
    rest, slash, protocol = text.partition("/")
    if slash and protocol not in _PROTOCOLS:
        raise UsageError(
            asked_by,
            cause=f"{protocol!r} is no protocol that can be forwarded",
            remedy=f"use one of {', '.join(_PROTOCOLS)}",
        )
    parts = rest.split(":")
    if "[" in rest or len(parts) > _PARTS:
        cause = "an IPv6 address cannot be forwarded" if "[" in rest else "it has too many parts"
        raise UsageError(asked_by, cause=cause, remedy=_FORM)
    address = _address(parts[0], asked_by) if len(parts) == _PARTS else ""
    inner = _range(parts[-1], asked_by)
    outer = _outer(parts, inner, asked_by)
    return tuple(
        PortRequest(
            protocol=protocol or "tcp", address=address, outer=out, inner=port, asked_by=asked_by
        )
        for out, port in zip(outer, inner, strict=True)
    )


def _outer(parts: list[str], inner: range, asked_by: str) -> range | list[None]:
    """Return the outer ports, one for each inner one; None for any that is free."""
    if len(parts) == 1 or not parts[-2]:
        return [None] * len(inner)
    outer = _range(parts[-2], asked_by)
    if len(outer) != len(inner):
        raise UsageError(
            asked_by,
            cause=f"it has {len(outer)} outer ports for {len(inner)} of the container",
            remedy="give ranges of the same length",
        )
    return outer


def _range(text: str, asked_by: str) -> range:
    first, dash, last = text.partition("-")
    low = _number(first, asked_by)
    high = _number(last, asked_by) if dash else low
    if high < low:
        raise UsageError(
            asked_by, cause=f"the range {text!r} runs backwards", remedy=f"write {last}-{first}"
        )
    return range(low, high + 1)


def _number(text: str, asked_by: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST)):
        number = int(text)
        if 0 < number <= _HIGHEST:
            return number
    raise UsageError(
        asked_by, cause=f"{text!r} is no port, which is a number from 1 to {_HIGHEST}", remedy=_FORM
    )


def _address(text: str, asked_by: str) -> str:
    """Return an IPv4 address in its usual form; all of them are the empty text."""
    numbers = text.split(".")
    if len(numbers) != 4 or not all(_is_byte(number) for number in numbers):
        raise UsageError(
            asked_by,
            cause=f"{text!r} is no IPv4 address",
            remedy="give the address itself, as in -p 127.0.0.1:8080:80",
        )
    address = ".".join(str(int(number)) for number in numbers)
    return "" if address == "0.0.0.0" else address


def _is_byte(text: str) -> bool:
    # Without leading zeros, which some read as octal (CVE-2021-29921).
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        return False
    return str(int(text)) == text and int(text) < 256
