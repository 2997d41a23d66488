"""The container's network: the outer one, loopback alone, or one of its own with a way out. Pure.

The ladder of a network of its own: a link of the kernel whose packets the outer kernel translates
(veth, nftables), then a program that speaks for the container with sockets of its own (pasta,
slirp4netns). What is implied goes on to the outer network, and is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.policy.subjects import holds
from nestbox.policy.wish import by_flag, by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.launch_spec import NetworkSpec
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest
    from nestbox.policy.wish import Wish

# What a word of --network means: which rungs may be taken, in their order.
RUNGS: Final = {
    "private": ("veth", "pasta", "slirp4netns"),
    "bridge": ("veth",),
    "pasta": ("pasta",),
    "slirp4netns": ("slirp4netns",),
}
NAMES: Final = ("none", "host", *RUNGS)


class NetworkChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the container has a network namespace, if lo is brought up, and what connects it.

    ``resolver`` is the text of its resolv.conf; None leaves the root's own.
    """

    own: bool
    loopback: bool
    decisions: tuple[Decision, ...]
    connection: NetworkSpec | None = None
    resolver: str | None = None


def network_wish(request: RunRequest, profile: Profile) -> Wish:
    """Return which network is asked for; a port that is to be published asks for a private one."""
    if request.network is not None:
        return by_flag("network", request.network, f"--network {request.network}")
    if request.ports:
        return by_flag("network", "private", request.ports[0].asked_by)
    return by_profile("network", profile.network.want, profile.name, profile.network.policy)


def decide_network(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    *,
    new_user_namespace: bool,
) -> NetworkChoice:
    """Return the network of the container; ``none`` still has a loopback interface."""
    wish = network_wish(request, profile)
    if wish.request in RUNGS:
        from nestbox.policy.network_connection import decide_connection

        return decide_connection(
            wish, request, environment, rungs=RUNGS[wish.request], in_new=new_user_namespace
        )
    unforwarded = tuple(
        by_flag(f"port {port.inner}/{port.protocol}", "published", port.asked_by).refused(
            cause=f"nothing is forwarded to a container with --network {wish.request}",
            remedy="use --network private, or leave out -p",
        )
        for port in request.ports
    )
    if wish.request == "host":
        shared = wish.granted("shares the outer network")
        return NetworkChoice(own=False, loopback=False, decisions=(shared, *unforwarded))
    granted = wish.granted("own network namespace, loopback only")
    # In a user namespace of its own the executor has every capability over the new network.
    if new_user_namespace or holds(environment, "CAP_NET_ADMIN"):
        return NetworkChoice(own=True, loopback=True, decisions=(granted, *unforwarded))
    down = by_nestbox("network.loopback", "up").short(
        "lo stays down",
        cause="CAP_NET_ADMIN is not in the outer effective set",
        remedy="give the outer environment CAP_NET_ADMIN, or use --network host",
    )
    return NetworkChoice(own=True, loopback=False, decisions=(granted, down, *unforwarded))
