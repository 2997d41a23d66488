"""A network of the container's own with a way out: by which rung, its name servers, its ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.facts import Subject
from nestbox.policy.launch_spec import NetworkSpec, PortSpec
from nestbox.policy.network import NetworkChoice
from nestbox.policy.network_rungs import Obstacle, obstacle_of
from nestbox.policy.subjects import holds, need
from nestbox.policy.wish import by_flag, by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import Network, OuterEnvironment, Resolver
    from nestbox.policy.decision import Decision
    from nestbox.policy.request import PortRequest, RunRequest
    from nestbox.policy.wish import Wish

_CHOSEN: Final = {
    "veth": "own network: veth link and nftables",
    "pasta": "own network: through pasta",
    "slirp4netns": "own network: through slirp4netns",
}
_SLIRP_RESOLVER: Final = "10.0.2.3"  # slirp4netns(1), "--disable-dns"
# Of the link-local addresses: it is nobody's on the way out. podman has the same.
_PASTA_RESOLVER: Final = "169.254.1.1"
_OR: Final = ", or "
_MAX_NAMESERVERS: Final = 3  # MAXNS of resolv.h


def decide_connection(
    wish: Wish,
    request: RunRequest,
    environment: OuterEnvironment,
    *,
    rungs: tuple[str, ...],
    in_new: bool,
) -> NetworkChoice:
    """Return the first rung that can be taken; without one the outer network, or a refusal."""
    obstacles: dict[str, Obstacle] = {}
    for rung in rungs:
        obstacle = obstacle_of(rung, environment, in_new=in_new)
        if obstacle is None:
            return _connected(wish, rung, obstacles, request, environment)
        obstacles[rung] = obstacle
    shared = wish.short(
        "shares the outer network", cause=_causes(obstacles), remedy=_remedies(obstacles)
    )
    return NetworkChoice(own=False, loopback=False, decisions=(shared,))


def _causes(obstacles: dict[str, Obstacle]) -> str:
    if len(obstacles) == 1:
        return next(iter(obstacles.values())).cause
    return "; ".join(f"{rung}: {obstacle.cause}" for rung, obstacle in obstacles.items())


def _remedies(obstacles: dict[str, Obstacle]) -> str:
    """Return every remedy, each once: any one of them brings some rung back."""
    remedies = [one for obstacle in obstacles.values() for one in obstacle.remedy.split(_OR)]
    if [*obstacles] == ["veth"]:
        remedies.append("use --network private")
    return _OR.join(dict.fromkeys(remedies))


def _connected(
    wish: Wish,
    rung: str,
    passed: dict[str, Obstacle],
    request: RunRequest,
    environment: OuterEnvironment,
) -> NetworkChoice:
    facts = need(environment.network, Subject.NETWORK)
    granted = wish.granted(
        _CHOSEN[rung],
        cause=_causes(passed),
        remedy=_OR.join(obstacle.remedy for obstacle in passed.values()),
    )
    resolver, forwarded, name_decisions = _name_servers(rung, facts)
    turn_on = rung == "veth" and not facts.forwarding
    connection = NetworkSpec(
        rung=rung,
        program=getattr(facts, "nft" if rung == "veth" else rung),
        ports=tuple(
            PortSpec(
                protocol=port.protocol,
                address=port.address,
                outer=port.outer or 0,
                inner=port.inner,
            )
            for port in request.ports
        ),
        turn_on_forwarding=turn_on,
        from_loopback=bool(request.ports) and _has_loopback(rung, facts),
        resolver=forwarded,
    )
    decisions = [granted, *name_decisions]
    if turn_on:
        decisions.append(
            by_nestbox("network.forwarding", "on").granted(
                "net.ipv4.ip_forward of the outer network is set to 1, and stays so"
            )
        )
    loopback = _has_loopback(rung, facts)
    decisions += [_published(port, environment, loopback=loopback) for port in request.ports]
    return NetworkChoice(
        own=True,
        loopback=True,
        decisions=tuple(decisions),
        connection=connection,
        resolver=resolver,
    )


def _has_loopback(rung: str, facts: Network) -> bool:
    """Return whether ports can be those of 127.0.0.1 too: over a link it takes a sysctl of ours."""
    return rung != "veth" or facts.forwarding_writable


def _published(port: PortRequest, environment: OuterEnvironment, *, loopback: bool) -> Decision:
    wish = by_flag(f"port {port.inner}/{port.protocol}", "published", port.asked_by)
    first = need(environment.network, Subject.NETWORK).first_free_port
    if port.address.startswith("127.") and not loopback:
        return wish.refused(
            cause="/proc/sys/net is read-only, and forwarding from 127.0.0.1 over a link takes a "
            "sysctl of that link",
            remedy="use --network pasta or slirp4netns, or publish another address",
        )
    if port.outer is None:
        return wish.granted("a port that is free")
    if port.outer < first and not holds(environment, "CAP_NET_BIND_SERVICE"):
        return wish.refused(
            cause=f"ports below {first} need CAP_NET_BIND_SERVICE, which is not in the outer "
            "effective set",
            remedy=f"publish it as {first} or above, or set outside: sysctl -w "
            f"net.ipv4.ip_unprivileged_port_start={port.outer}",
        )
    every = "every outer address" if loopback else "every outer address but 127.0.0.1"
    return wish.granted(f"port {port.outer} of {port.address or every}")


def _name_servers(rung: str, facts: Network) -> tuple[str, str, tuple[Decision, ...]]:
    """Return the text of resolv.conf, pasta's address for the outer resolver, and decisions."""
    wish = by_nestbox("network.resolver", "the outer name servers")
    if rung == "slirp4netns":
        granted = wish.granted(f"{_SLIRP_RESOLVER}, where slirp4netns asks them")
        return _resolv_conf((_SLIRP_RESOLVER,), facts.resolver), "", (granted,)
    known = facts.upstream if facts.upstream.nameservers else facts.resolver
    servers = tuple(server for server in known.nameservers if _is_elsewhere(server))
    if servers:
        granted = wish.granted(", ".join(servers[:_MAX_NAMESERVERS]))
        return _resolv_conf(servers, known), "", (granted,)
    if rung == "pasta" and facts.resolver.nameservers:
        granted = wish.granted(f"{_PASTA_RESOLVER}, where pasta asks them")
        return _resolv_conf((_PASTA_RESOLVER,), facts.resolver), _PASTA_RESOLVER, (granted,)
    cause = "the outer /etc/resolv.conf has no name server"
    if facts.resolver.nameservers:
        cause = (
            "the outer name server is on a loopback address "
            f"({facts.resolver.nameservers[0]}), which is another one in a network of its own"
        )
    short = wish.short(
        "none: names are not resolved",
        cause=cause,
        remedy="use --network slirp4netns or pasta, or mount a file: -v FILE:/etc/resolv.conf:ro",
    )
    return _resolv_conf((), facts.resolver), "", (short,)


def _is_elsewhere(server: str) -> bool:
    """Return whether a name server can be reached from a network of its own, which is IPv4."""
    return ":" not in server and not server.startswith(("127.", "0."))


def _resolv_conf(servers: tuple[str, ...], known: Resolver) -> str:
    lines = [f"nameserver {server}" for server in servers[:_MAX_NAMESERVERS]]
    if known.search:
        lines.append(f"search {' '.join(known.search)}")
    if known.options:
        lines.append(f"options {' '.join(known.options)}")
    return "".join(f"{line}\n" for line in lines)
