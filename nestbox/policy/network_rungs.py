"""What stands in the way of each rung of a network with a way out. Pure: facts in, words out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from nestbox.outer.facts import Subject
from nestbox.policy.subjects import holds, need

if TYPE_CHECKING:
    from nestbox.outer.facts import Network, OuterEnvironment, Trial

_TUN: Final = "/dev/net/tun"
_PACKAGES: Final = {"pasta": "passt", "slirp4netns": "slirp4netns"}
_NO_NFTABLES: Final = {
    "EPERM": (
        "nftables answered EPERM to who holds CAP_NET_ADMIN",
        "let the outer seccomp filter and LSM allow netlink to nftables",
    ),
    "TIMEOUT": ("nft did not answer in time", "run: nft list tables, to see what stops it"),
}


class Obstacle(NamedTuple):
    """Why a rung cannot be taken, and what would change that."""

    cause: str
    remedy: str


def obstacle_of(rung: str, environment: OuterEnvironment, *, in_new: bool) -> Obstacle | None:
    """Return why a rung cannot be taken, None when it can; ``in_new``: in a new user namespace."""
    facts = need(environment.network, Subject.NETWORK)
    if rung == "veth":
        return (
            _of_rights(environment, facts)
            or _of_link(facts)
            or _of_nftables(facts)
            or _of_forwarding(facts)
        )
    return (
        _of_program(rung, facts)
        or _of_tun(environment)
        or _of_entry(rung, environment, in_new=in_new)
    )


def _of_rights(environment: OuterEnvironment, facts: Network) -> Obstacle | None:
    """A link is made in the outer network, and set up from a thread that enters the new one."""
    lacking = [name for name in ("CAP_NET_ADMIN", "CAP_SYS_ADMIN") if not holds(environment, name)]
    if lacking:
        names = " and ".join(lacking)
        return Obstacle(
            f"{names} {'is' if len(lacking) == 1 else 'are'} not in the outer effective set",
            f"give the outer environment {names}",
        )
    if not facts.owned:
        return Obstacle(
            "the outer network namespace belongs to a user namespace above ours",
            "give the outer environment a network namespace of its own",
        )
    return None


def _of_link(facts: Network) -> Obstacle | None:
    if facts.veth is None or facts.veth.works:
        return None
    error = facts.veth.error
    if error == "EOPNOTSUPP":
        return Obstacle(
            "this kernel has no veth links",
            "load the module veth outside",
        )
    return Obstacle(
        f"a veth link in a new network namespace was tried and gave {error}",
        "let the outer seccomp filter and LSM allow it",
    )


def _of_nftables(facts: Network) -> Obstacle | None:
    if facts.nft is None:
        return Obstacle("the program nft was not found", "install the package nftables")
    trial: Trial | None = facts.nftables
    if trial is None or trial.error is None:
        return None
    cause, remedy = _NO_NFTABLES.get(
        trial.error,
        (
            f"this kernel lacks something of nftables for masquerade and dnat: {trial.error}",
            "load the modules nf_tables, nft_chain_nat, nft_masq and nft_fib_inet outside",
        ),
    )
    return Obstacle(cause, remedy)


def _of_forwarding(facts: Network) -> Obstacle | None:
    if not facts.forwarding and not facts.forwarding_writable:
        return Obstacle(
            "net.ipv4.ip_forward is 0 and cannot be written",
            "set it outside: sysctl -w net.ipv4.ip_forward=1 (docker run --sysctl "
            "net.ipv4.ip_forward=1)",
        )
    if facts.forward_drops:
        chain = facts.forward_drops[0]
        return Obstacle(
            f"what is forwarded is dropped by the chain {chain}",
            _let_pass(chain),
        )
    return None


def _let_pass(chain: str) -> str:
    if chain == "ip filter FORWARD":  # of iptables
        return (
            "run: iptables -I FORWARD -i nestbox+ -j ACCEPT && "
            "iptables -I FORWARD -o nestbox+ -j ACCEPT"
        )
    return (
        f'run: nft \'insert rule {chain} iifname "nestbox*" accept; '
        f'insert rule {chain} oifname "nestbox*" accept\''
    )


def _of_program(rung: str, facts: Network) -> Obstacle | None:
    if getattr(facts, rung) is not None:
        return None
    return Obstacle(f"the program {rung} was not found", f"install the package {_PACKAGES[rung]}")


def _of_tun(environment: OuterEnvironment) -> Obstacle | None:
    node = need(environment.devices, Subject.DEVICES).nodes.get(_TUN)
    if node is None:
        return Obstacle(
            f"there is no {_TUN}",
            f"give the outer container the device (docker run --device {_TUN})",
        )
    error = node.opens.error
    if error is None:
        return None
    remedy = f"chmod 0666 {_TUN}, as it is on most systems"
    if error != "EACCES":
        remedy = f"let the outer environment use the device (docker run --device {_TUN})"
    return Obstacle(f"{_TUN} cannot be opened: {error}", remedy)


def _of_entry(rung: str, environment: OuterEnvironment, *, in_new: bool) -> Obstacle | None:
    """The program sets up an interface inside, which takes power over the new namespace."""
    if in_new:
        return None
    if rung == "pasta":
        # It gives up what it would need to open the namespace of a process of root.
        return Obstacle(
            "pasta enters a network namespace only together with a new user namespace",
            "use --userns auto",
        )
    if holds(environment, "CAP_NET_ADMIN"):
        return None
    return Obstacle(
        "CAP_NET_ADMIN is not in the outer effective set, and there is no new user namespace",
        "use --userns auto, or give the outer environment CAP_NET_ADMIN",
    )
