"""The table of nftables that a container's link needs: one a container, made and removed whole.

A table of its own for each container needs no lock, and nothing of another one's is ever touched.
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError
from nestbox.outer.nftables import INTERFACE, run_nft
from nestbox.outer.tools import DEFAULT_PATH, find_program
from nestbox.policy.launch_spec import PortSpec
from nestbox.policy.network_addresses import Pair

PREFIX = "nestbox_"
_FROM_INPUT = ("--file", "-")
_GONE = "No such file or directory"


def new_table() -> str:
    """Return a name that no table ever had: it is recorded before the table exists."""
    return f"{PREFIX}{os.urandom(6).hex()}"


def add_table(nft: str, table: str, pair: Pair, ports: tuple[PortSpec, ...]) -> None:
    """Make the table of a container. Raises LaunchError, with nothing made."""
    status, _, errors = run_nft(nft, _FROM_INPUT, rules(table, pair, ports))
    if status != 0:
        raise LaunchError(
            "cannot set up address translation for the container",
            cause=f"nft refused: {errors}",
            remedy="use --network pasta, or run `nestbox doctor`",
        )


def remove_table(table: str) -> None:
    """Remove the table of a container; one that is not there is no matter.

    Raises:
        OSError: it cannot be removed.
    """
    nft = find_program("nft", DEFAULT_PATH)
    if not _is_ours(table) or nft is None:
        raise OSError(None, f"nft is not there, or {table!r} is no table of a container")
    status, _, errors = run_nft(nft, ("delete", "table", "inet", table), "")
    if status != 0 and _GONE not in errors:
        raise OSError(None, f"nft refused: {errors}")


def _is_ours(table: str) -> bool:
    return table.startswith(PREFIX) and table.replace("_", "").isalnum() and table.isascii()


def orphans() -> tuple[str, ...]:
    """Return the tables of containers whose interface is gone, and so whose container is."""
    nft = find_program("nft", DEFAULT_PATH)
    if nft is None:
        return ()
    found = parse_tables(run_nft(nft, ("list", "ruleset", "inet"), "")[1])
    return tuple(name for name, link in found.items() if not _exists(link))


def _exists(interface: str) -> bool:
    """Return whether our network has an interface; /sys may show another network's."""
    import socket

    try:
        return socket.if_nametoindex(interface) > 0
    except OSError:
        return False


def parse_tables(text: str) -> dict[str, str]:
    """Return the tables of containers in what nft lists, each with the interface it is for."""
    found: dict[str, str] = {}
    table = ""
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["table", "inet"]:
            table = words[2]
        elif words[:1] == ["iifname"] and _is_ours(table):
            found.setdefault(table, words[1].strip('"'))
    return found


def rules(table: str, pair: Pair, ports: tuple[PortSpec, ...]) -> str:
    """Return the text of a container's table.

    Containers see each other's addresses; elsewhere a container's packets come from the machine.
    """
    published = [_published(pair, port) for port in ports]
    here = [rule for rule, from_outside in published if from_outside]
    chains = [
        _chain("guard", "type filter hook prerouting priority raw", _guards(pair)),
        _chain(
            "source",
            "type nat hook postrouting priority srcnat",
            [
                f'ip saddr {pair.inner} oifname != "{INTERFACE}*" masquerade',
                # What comes back to the container, or from the machine's 127.0.0.1, has to be
                # answered by way of the machine.
                f'ip saddr {{ 127.0.0.0/8, {pair.inner} }} oifname "{pair.interface}" masquerade',
            ],
        ),
    ]
    if here:
        chains.append(_chain("ports", "type nat hook prerouting priority dstnat", here))
    if published:
        own = [rule for rule, _ in published]
        chains.append(_chain("own_ports", "type nat hook output priority -100", own))
    body = "".join(chains)
    return f"table inet {table} {{\n{body}}}\n"


def _guards(pair: Pair) -> list[str]:
    """Return the rules for what a container must not send, though root in its network could."""
    came = f'iifname "{pair.interface}"'
    return [
        # The machine would take a container for its router (CVE-2020-13401).
        f"{came} meta nfproto ipv6 drop",
        f"{came} ip saddr != {pair.inner} drop",
        # Whoever may send to 127.0.0.1 of the machine reaches what listens for it alone
        # (CVE-2020-8558).
        f"{came} ip daddr 127.0.0.0/8 drop",
    ]


def _chain(name: str, kind: str, lines: list[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f"  chain {name} {{\n    {kind}; policy accept;\n{body}  }}\n"


def _published(pair: Pair, port: PortSpec) -> tuple[str, bool]:
    """Return the rule of a port, and whether it is for more than the machine itself."""
    where = f"ip daddr {port.address}" if port.address else "fib daddr type local"
    rule = f"{where} {port.protocol} dport {port.outer} dnat ip to {pair.inner}:{port.inner}"
    return rule, not port.address.startswith("127.")
