"""What a network of the container's own could be made with: programs, nftables, forwarding, DNS."""

from __future__ import annotations

import os
from collections.abc import Callable

from nestbox.kernel import procfs, reading, syscalls, trials
from nestbox.kernel.constants import AT_EACCESS, AT_FDCWD
from nestbox.outer.facts import Network, Resolver, Trial
from nestbox.outer.nftables import forward_drops, try_table
from nestbox.outer.sources import read_optional
from nestbox.outer.tools import DEFAULT_PATH, find_program

_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_RESOLV_CONF = "/etc/resolv.conf"
# Where systemd-resolved tells which servers its stub at 127.0.0.53 asks: systemd-resolved(8).
_UPSTREAM = "/run/systemd/resolve/resolv.conf"
_RESOLV_CONF_LIMIT_BYTES = 1 << 16


def observe_network(
    *,
    administrator: bool,
    tried: Callable[[Callable[[], dict[str, Trial]]], dict[str, Trial]] = lambda attempt: attempt(),
) -> Network:
    """Return the facts; ``administrator`` says whether we have CAP_NET_ADMIN at all.

    Only for who has it is tried what the kernel can do: it answers nobody else. ``tried`` returns
    the outcomes of an attempt, or those of an earlier one that hold still.
    """
    owned = _is_owned()
    nft = find_program("nft", DEFAULT_PATH)
    asked = nft if administrator and owned else None
    outcomes = {} if asked is None else tried(lambda: _try_link(asked))
    resolver = _resolver(_RESOLV_CONF)
    return Network(
        owned=owned,
        nft=nft,
        pasta=find_program("pasta", DEFAULT_PATH),
        slirp4netns=find_program("slirp4netns", DEFAULT_PATH),
        nftables=outcomes.get("nftables"),
        veth=outcomes.get("veth"),
        forwarding=read_optional(_FORWARD) == "1",
        forwarding_writable=_is_writable(_FORWARD),
        forward_drops=forward_drops(asked) if asked else (),
        first_free_port=_number(read_optional(_PORT_START), 1024),
        resolver=resolver,
        upstream=_resolver(_UPSTREAM) if is_stub(resolver) else Resolver(),
    )


def is_stub(resolver: Resolver) -> bool:
    """Return whether every name server is on a loopback address, which is another one elsewhere."""
    return all(is_loopback(server) for server in resolver.nameservers)


def is_loopback(address: str) -> bool:
    """Return whether an address of a resolv.conf is one of the machine's own, by its text."""
    return address.startswith("127.") or address in {"::1", "0.0.0.0", "::"}


def parse_resolver(text: bytes) -> Resolver:
    """Return what a resolv.conf says; what is malformed is passed over, as by the C library.

    The last of search and domain holds. Source: resolv.conf(5).
    """
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in procfs.decode(text).splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in {"search", "domain"}:
            search = tuple(words[1:])
        elif words[0] == "options":
            options += words[1:]
    return Resolver(
        nameservers=tuple(dict.fromkeys(filter(_is_address, servers))),
        search=search,
        options=tuple(dict.fromkeys(options)),
    )


def _is_address(text: str) -> bool:
    """Return whether a text can only be an address, with a zone perhaps."""
    return all(letter in "0123456789abcdefABCDEF.:%" for letter in text.partition("%")[0])


def _resolver(path: str) -> Resolver:
    try:
        return parse_resolver(reading.read_file(path, _RESOLV_CONF_LIMIT_BYTES))
    except OSError:
        return Resolver()


def _is_owned() -> bool:
    """Return whether CAP_NET_ADMIN of ours is power over our network namespace."""
    try:
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(syscalls.ns_get_userns(namespace))
    except OSError:
        return False
    finally:
        os.close(namespace)
    return True


def _is_writable(path: str) -> bool:
    try:
        syscalls.faccessat2(AT_FDCWD, path, os.W_OK, AT_EACCESS)
    except OSError:
        return False
    return True


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _try_link(nft: str) -> dict[str, Trial]:
    """Return the outcomes of making a link between two networks, and of having a table checked."""
    try:
        made = trials.try_link()
    except OSError as error:
        made = trials.error_name(error.errno or 0)
    return {"veth": Trial(error=made), "nftables": try_table(nft)}
