"""The ladder of networks: which rung, what stands in the way, name servers, ports, files."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import OuterEnvironment, Resolver, Trial
from nestbox.policy.decision import Decision, Intent, Outcome
from nestbox.policy.network import RUNGS, NetworkChoice, decide_network
from nestbox.policy.network_files import network_files
from nestbox.policy.profile import Choice
from nestbox.policy.request import MountRequest, PortRequest, RunRequest
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
from nestbox.policy.validation import check_request
from tests.policy.surroundings import (
    HOST,
    ROOT,
    ask,
    change,
    device,
    docker_container,
    full_root,
    rights,
    unprivileged_user,
    without,
)

ALL_RIGHTS = full_root().capabilities.sets.effective


def facts(environment: OuterEnvironment, **fields: Any) -> OuterEnvironment:
    """Return the environment with other facts about networks."""
    return change(environment, network=msgspec.structs.replace(environment.network, **fields))


def decide(
    request: RunRequest,
    environment: OuterEnvironment,
    *,
    in_new: bool = False,
    profile: Choice | None = None,
) -> NetworkChoice:
    shipped = load_shipped("default")
    assert shipped is not None
    if profile is not None:
        shipped = msgspec.structs.replace(shipped, network=profile)
    return decide_network(request, shipped, environment, new_user_namespace=in_new)


def first(choice: NetworkChoice) -> Decision:
    return choice.decisions[0]


def port(inner: int, outer: int | None = None, **fields: Any) -> PortRequest:
    given = {"protocol": "tcp", "address": "", "outer": outer, "inner": inner}
    return PortRequest(**(given | {"asked_by": f"-p {outer}:{inner}"} | fields))


def test_a_machine_that_gives_everything_gets_a_link_of_the_kernel() -> None:
    choice = decide(ask(network="private"), full_root())
    assert choice.connection is not None
    assert choice.connection.rung == "veth"
    assert choice.connection.program == "/usr/sbin/nft"
    assert choice.own
    assert choice.loopback
    assert first(choice).outcome is Outcome.GRANTED
    assert first(choice).cause == ""


def test_a_user_without_rights_goes_through_pasta_and_learns_why() -> None:
    choice = decide(ask(network="private"), unprivileged_user(), in_new=True)
    assert choice.connection is not None
    assert choice.connection.rung == "pasta"
    assert "CAP_NET_ADMIN" in first(choice).cause


def test_the_ladder_goes_on_to_slirp4netns() -> None:
    environment = facts(unprivileged_user(), pasta=None)
    choice = decide(ask(network="private"), environment, in_new=True)
    assert choice.connection is not None
    assert choice.connection.rung == "slirp4netns"
    assert "pasta was not found" in first(choice).cause


OBSTACLES = {
    "CAP_NET_ADMIN is": (
        "bridge",
        change(full_root(), capabilities=rights(without(ALL_RIGHTS, "CAP_NET_ADMIN"))),
    ),
    "CAP_SYS_ADMIN is": (
        "bridge",
        change(full_root(), capabilities=rights(without(ALL_RIGHTS, "CAP_SYS_ADMIN"))),
    ),
    "belongs to a user namespace above": ("bridge", facts(full_root(), owned=False)),
    "no veth links": ("bridge", facts(full_root(), veth=Trial(error="EOPNOTSUPP"))),
    "veth link in a new network namespace was tried and gave EPERM": (
        "bridge",
        facts(full_root(), veth=Trial(error="EPERM")),
    ),
    "nft was not found": ("bridge", facts(full_root(), nft=None, nftables=None)),
    "masquerade and dnat: ENOENT": ("bridge", facts(full_root(), nftables=Trial(error="ENOENT"))),
    "nftables answered EPERM": ("bridge", facts(full_root(), nftables=Trial(error="EPERM"))),
    "did not answer": ("bridge", facts(full_root(), nftables=Trial(error="TIMEOUT"))),
    "ip_forward is 0": (
        "bridge",
        facts(full_root(), forwarding=False, forwarding_writable=False),
    ),
    "ip filter FORWARD": ("bridge", facts(full_root(), forward_drops=("ip filter FORWARD",))),
    "inet fw forward": ("bridge", facts(full_root(), forward_drops=("inet fw forward",))),
    "slirp4netns was not found": ("slirp4netns", facts(full_root(), slirp4netns=None)),
    "together with a new user namespace": ("pasta", full_root()),
    "there is no /dev/net/tun": (
        "slirp4netns",
        change(full_root(), devices=msgspec.structs.replace(full_root().devices, nodes={})),
    ),
    "opened: EACCES": (
        "slirp4netns",
        change(
            full_root(),
            devices=msgspec.structs.replace(
                full_root().devices, nodes={"/dev/net/tun": device(10, 200, "EACCES")}
            ),
        ),
    ),
    "opened: EPERM": (
        "slirp4netns",
        change(
            full_root(),
            devices=msgspec.structs.replace(
                full_root().devices, nodes={"/dev/net/tun": device(10, 200, "EPERM")}
            ),
        ),
    ),
    "no new user namespace": (
        "slirp4netns",
        change(full_root(), capabilities=rights(without(ALL_RIGHTS, "CAP_NET_ADMIN"))),
    ),
}


@pytest.mark.parametrize("cause", OBSTACLES)
def test_a_named_network_is_refused_with_what_stands_in_its_way(cause: str) -> None:
    network, environment = OBSTACLES[cause]
    choice = decide(ask(network=network), environment)
    assert first(choice).outcome is Outcome.REFUSED
    assert cause in first(choice).cause
    assert first(choice).remedy
    assert choice.connection is None


def test_a_private_network_that_cannot_be_is_refused_with_every_cause() -> None:
    environment = facts(docker_container(), nft=None, pasta=None, slirp4netns=None)
    decision = first(decide(ask(network="private"), environment, in_new=True))
    assert decision.outcome is Outcome.REFUSED
    for rung in RUNGS["private"]:
        assert f"{rung}: " in decision.cause


def test_what_a_profile_implies_steps_down_to_the_outer_network() -> None:
    environment = facts(docker_container(), pasta=None, slirp4netns=None)
    choice = decide(ask(), environment, in_new=True, profile=Choice(want="private"))
    assert first(choice).outcome is Outcome.WEAKENED
    assert first(choice).chosen == "shares the outer network"
    assert not choice.own


def test_a_profile_may_be_strict() -> None:
    environment = facts(docker_container(), pasta=None, slirp4netns=None)
    strict = Choice(want="private", policy=Intent.STRICT)
    assert first(decide(ask(), environment, in_new=True, profile=strict)).outcome is Outcome.REFUSED


def test_forwarding_that_is_off_is_turned_on_and_told() -> None:
    choice = decide(ask(network="bridge"), facts(full_root(), forwarding=False))
    assert choice.connection is not None
    assert choice.connection.turn_on_forwarding
    assert [one.subject for one in choice.decisions].count("network.forwarding") == 1
    with_it = decide(ask(network="bridge"), full_root())
    assert with_it.connection is not None
    assert not with_it.connection.turn_on_forwarding


def test_the_container_asks_the_outer_name_servers() -> None:
    choice = decide(ask(network="bridge"), full_root())
    assert choice.resolver == "nameserver 192.0.2.53\nsearch example.org\n"


def test_a_stub_is_passed_over_for_what_it_asks() -> None:
    environment = facts(
        full_root(),
        resolver=Resolver(nameservers=("127.0.0.53",), options=("edns0",)),
        upstream=Resolver(nameservers=("198.51.100.1", "2001:db8::1")),
    )
    choice = decide(ask(network="bridge"), environment)
    assert choice.resolver == "nameserver 198.51.100.1\n"


def test_a_stub_that_tells_nothing_leaves_a_link_without_names() -> None:
    environment = facts(full_root(), resolver=Resolver(nameservers=("127.0.0.11",)))
    choice = decide(ask(network="bridge"), environment)
    told = {one.subject: one for one in choice.decisions}["network.resolver"]
    assert told.outcome is Outcome.WEAKENED
    assert "127.0.0.11" in told.cause
    assert choice.resolver == ""


def test_a_program_asks_a_stub_for_the_container() -> None:
    environment = facts(unprivileged_user(), resolver=Resolver(nameservers=("127.0.0.53",)))
    pasta = decide(ask(network="pasta"), environment, in_new=True)
    assert pasta.connection is not None
    assert pasta.resolver == f"nameserver {pasta.connection.resolver}\n"
    slirp = decide(ask(network="slirp4netns"), environment, in_new=True)
    assert slirp.resolver == "nameserver 10.0.2.3\n"


def test_a_published_port_asks_for_a_private_network() -> None:
    choice = decide(ask(ports=(port(80, 8080),)), full_root())
    assert choice.connection is not None
    assert [(one.outer, one.inner) for one in choice.connection.ports] == [(8080, 80)]
    assert first(choice).asked_by == "-p 8080:80"


@pytest.mark.parametrize("network", ["host", "none"])
def test_a_port_is_refused_where_nothing_is_forwarded(network: str) -> None:
    choice = decide(ask(network=network, ports=(port(80, 8080),)), full_root())
    assert [one.outcome for one in choice.decisions].count(Outcome.REFUSED) == 1


def test_a_low_port_is_refused_to_who_may_not_have_it() -> None:
    request = ask(network="pasta", ports=(port(80, 80), port(81, 8081), port(82)))
    choice = decide(request, unprivileged_user(), in_new=True)
    ports = [one for one in choice.decisions if one.subject.startswith("port")]
    assert [one.outcome for one in ports] == [Outcome.REFUSED, Outcome.GRANTED, Outcome.GRANTED]
    assert "CAP_NET_BIND_SERVICE" in ports[0].cause


def test_ports_of_the_loopback_take_a_sysctl_over_a_link() -> None:
    request = ask(network="bridge", ports=(port(80, 8080), port(81, 8081, address="127.0.0.1")))
    choice = decide(request, facts(full_root(), forwarding_writable=False))
    ports = [one for one in choice.decisions if one.subject.startswith("port")]
    assert [one.outcome for one in ports] == [Outcome.GRANTED, Outcome.REFUSED]
    assert "but 127.0.0.1" in ports[0].chosen
    choice = decide(request, full_root())
    assert choice.connection is not None
    assert choice.connection.from_loopback


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bridg", "did you mean bridge?"),
        ("slirp", "did you mean slirp4netns?"),
        ("container:x", "one of"),
        ("", "one of"),
        ("a\0b", "one of"),
    ],
)
def test_an_unknown_network_is_refused_with_what_was_meant(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_request(ask(network=name))
    assert hint in refused.value.remedy


@pytest.mark.parametrize(
    ("one", "other", "collides"),
    [
        (port(80, 8080), port(81, 8080), True),
        (port(80, 8080), port(81, 8080, address="127.0.0.1"), True),
        (port(80, 8080, address="127.0.0.1"), port(81, 8080), True),
        (port(80, 8080, address="127.0.0.1"), port(81, 8080, address="127.0.0.2"), False),
        (port(80, 8080), port(80, 8080, protocol="udp"), False),
        (port(80), port(80), False),
    ],
)
def test_one_outer_port_leads_to_one_place(
    one: PortRequest, other: PortRequest, collides: bool
) -> None:
    request = ask(ports=(one, other))
    if not collides:
        check_request(request)
        return
    with pytest.raises(UsageError, match="twice"):
        check_request(request)


@pytest.mark.parametrize(
    ("fields", "needed"),
    [({}, False), ({"network": "none"}, False), ({"network": "bridge"}, True),
     ({"ports": (port(80),)}, True)],
)  # fmt: skip
def test_facts_about_networks_are_observed_only_for_one(
    fields: dict[str, Any], needed: bool
) -> None:
    profile = load_shipped("default")
    assert profile is not None
    subjects = required_subjects(ask(**fields), profile, full_root())
    assert ("network" in subjects) is needed


def test_a_container_over_the_present_root_finds_its_name_servers() -> None:
    choice = decide(ask(network="bridge"), full_root())
    files, mounts = network_files(ask(root=HOST), ROOT, "box", choice)
    assert files == (("/etc/resolv.conf", "nameserver 192.0.2.53\nsearch example.org\n"),)
    assert mounts == ()


def test_a_volume_takes_the_place_of_the_resolvers_file() -> None:
    volume = MountRequest(
        type="bind",
        source="/x",
        target="/etc/resolv.conf",
        options=(),
        asked_by="-v",
        must_exist=False,
    )
    choice = decide(ask(network="bridge"), full_root())
    files, _ = network_files(ask(mounts=(volume,)), ROOT, "box", choice)
    assert [name for name, _ in files] == ["/etc/hostname", "/etc/hosts"]
