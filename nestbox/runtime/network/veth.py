"""A link between the outer network and a container's: made, addressed and routed.

The kernel is the only keeper of what is taken: a name of an interface exists once, so of two
launches that want the same pair of addresses one is refused and takes the next. The container's
end is made inside its namespace, and the kernel removes both ends with that, however it ends.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from nestbox.errors import LaunchError
from nestbox.kernel.writing import write_file
from nestbox.policy.network_addresses import BLOCKS, PREFIX, Pair, free_pairs
from nestbox.runtime.network.netlink import routes_of

INNER = "eth0"
_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_LOCAL = "/proc/sys/net/ipv4/conf/{}/route_localnet"
_AF_INET = 2


def connect(
    namespace: int,
    *,
    guard: Callable[[Pair], None],
    turn_on_forwarding: bool,
    from_loopback: bool,
) -> Pair:
    """Join the network namespace of a descriptor to ours, and return the addresses of both ends.

    ``guard`` is called when the link is made and lets nothing through yet.
    ``from_loopback`` lets what this machine sends from 127.0.0.1 go to the container: the table of
    the container must drop what comes the other way.

    Raises:
        LaunchError: the kernel refused, or every address is taken. What was made goes with the
            namespace.
    """
    from pyroute2 import NetlinkError

    try:
        with routes_of(None) as here, routes_of(namespace) as there:
            pair = _make_link(here, namespace)
            guard(pair)
            _write_sysctls(pair, turn_on_forwarding=turn_on_forwarding, from_loopback=from_loopback)
            _set_up(here, pair.interface, pair.outer)
            _set_up(there, INNER, pair.inner)
            there.route("add", dst="default", gateway=pair.outer)
    except NetlinkError as error:
        raise _refused(os.strerror(error.code).lower()) from error
    except OSError as error:
        raise _refused(f"{error.strerror or error}".lower()) from error
    return pair


def _refused(cause: str) -> LaunchError:
    return LaunchError(
        "cannot connect the container's network",
        cause=f"the kernel refused a link: {cause}",
        remedy="use --network pasta, or load the module veth outside",
    )


def _make_link(here: Any, namespace: int) -> Pair:
    """Make both ends of a pair of addresses that nobody has; both are down."""
    from pyroute2 import NetlinkError

    mtu = _mtu_of_way_out(here)
    for pair in free_pairs(_taken(here)):
        peer = {"ifname": INNER, "net_ns_fd": namespace, "mtu": mtu}
        try:
            here.link("add", ifname=pair.interface, kind="veth", mtu=mtu, peer=peer)
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                continue  # another launch was faster
            raise
        return pair
    raise LaunchError(
        "cannot connect the container's network",
        cause=f"every address of {', '.join(BLOCKS)} is taken or routed elsewhere",
        remedy="end some containers, or use --network pasta",
    )


def _taken(here: Any) -> list[str]:
    """Return the networks that are routed somewhere; the default route is everywhere."""
    return [
        f"{route.get_attr('RTA_DST')}/{route['dst_len']}"
        for route in here.get_routes(family=_AF_INET)
        if route["dst_len"] and route.get_attr("RTA_DST")
    ]


def _mtu_of_way_out(here: Any) -> int:
    """Return the MTU of the default route's interface, in bytes; 1500 without one."""
    for route in here.get_routes(family=_AF_INET):
        if route["dst_len"] == 0 and route.get_attr("RTA_OIF"):
            link = here.get_links(route.get_attr("RTA_OIF"))[0]
            return int(link.get_attr("IFLA_MTU"))
    return 1500


def _set_up(routes: Any, interface: str, address: str) -> None:
    index = routes.link_lookup(ifname=interface)[0]
    routes.addr("add", index=index, address=address, prefixlen=PREFIX)
    routes.link("set", index=index, state="up")


def _write_sysctls(pair: Pair, *, turn_on_forwarding: bool, from_loopback: bool) -> None:
    if turn_on_forwarding:
        write_file(_FORWARD, "1")
    if from_loopback:
        write_file(_LOCAL.format(pair.interface), "1")
