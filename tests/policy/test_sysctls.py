"""Sysctls: those of a namespace of the container, and no others."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.sysctls import decide_sysctls
from tests.policy.surroundings import ask


def decide(name: str, value: str = "1", *, own_network: bool = True) -> tuple[str, Decision]:
    ((path, _),), (decision,) = decide_sysctls(
        ask(sysctls=((name, value),)), own_network=own_network
    )
    return path, decision


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("kernel.shmmax", "kernel/shmmax"),
        ("kernel/msgmax", "kernel/msgmax"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
    ],
)
def test_a_sysctl_of_a_namespace_is_given(name: str, path: str) -> None:
    found, decision = decide(name)
    assert found == path
    assert decision.outcome is Outcome.GRANTED


@pytest.mark.parametrize(
    "name",
    ["kernel.panic", "kernel.core_pattern", "vm.swappiness", "fs.file-max", "kernel.hostname",
     "kernel.shmmaxx", "kernel/shmmax/x", "networks.x", "fs.mqueuex.y"],
)  # fmt: skip
def test_what_would_change_the_machine_is_refused(name: str) -> None:
    _, decision = decide(name)
    assert decision.outcome is Outcome.REFUSED
    assert decision.remedy


def test_the_network_of_others_is_not_changed() -> None:
    _, decision = decide("net.ipv4.ip_forward", own_network=False)
    assert decision.outcome is Outcome.REFUSED
    assert "network" in decision.cause


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "1"),
        ("net..x", "1"),
        ("net/../kernel/panic", "1"),
        ("net.ipv4.ip_forward\n", "1"),
        ("net.a b", "1"),
        ("net.x\0", "1"),
        ("net.x", "1\n+kernel.core_pattern=|/bin/sh"),
        ("net.x", "1\0"),
        ("net.x", ""),
    ],
)
def test_a_malformed_one_is_a_usage_error(name: str, value: str) -> None:
    """CVE-2022-0811: a name or value that smuggles a second setting in."""
    with pytest.raises(UsageError) as caught:
        decide(name, value)
    assert "\n" not in str(caught.value)


def test_one_name_written_in_two_ways_is_given_twice() -> None:
    request = ask(sysctls=(("net.a.b", "1"), ("net/a/b", "2")))
    with pytest.raises(UsageError, match="twice"):
        decide_sysctls(request, own_network=True)
