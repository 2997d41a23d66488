"""Addresses for the links of containers: two neighbours each, of which nobody has a route. Pure.

A link joins exactly two ends, so each has a network of two addresses (RFC 3021). The even one is
the outer end, and the container's way out; the odd one is the container's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from nestbox.outer.nftables import INTERFACE

# Private ones (RFC 1918) of which none is the default of docker, podman, Kubernetes or libvirt.
BLOCKS: Final = ("10.224.0.0/20", "172.30.224.0/20", "192.168.224.0/20")
PREFIX: Final = 31


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """The two ends of one link."""

    outer: str
    inner: str
    interface: str  # the name of the outer end, which only one pair has


def parse(network: str) -> tuple[int, int]:
    """Return first and last address of an IPv4 network, as "10.0.0.0/8", in numbers."""
    address, _, length = network.partition("/")
    number = 0
    for part in address.split("."):
        number = number << 8 | int(part)
    size = 1 << 32 - int(length or "32")
    first = number & ~(size - 1)
    return first, first + size - 1


def dotted(number: int) -> str:
    """Return an IPv4 address in its usual form."""
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def pair_at(number: int) -> Pair:
    """Return the pair whose outer end has this address; it is even."""
    return Pair(
        outer=dotted(number), inner=dotted(number + 1), interface=f"{INTERFACE}{number:08x}"
    )


def free_pairs(taken: Iterable[str]) -> Iterator[Pair]:
    """Yield the pairs that overlap no network of these, in order; the first of a block is unused.

    A link that exists has a route to its other end: so it is among the taken.
    """
    networks = [parse(network) for network in taken]
    for block in BLOCKS:
        first, last = parse(block)
        inside = [(low, high) for low, high in networks if low <= last and high >= first]
        for number in range(first + 2, last, 2):
            if all(number > high or number + 1 < low for low, high in inside):
                yield pair_at(number)
