"""Sysctls: those of a namespace of the container, and no others."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import Trial
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.profile import Profile
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.sysctls import decide_sysctls, sysctls_to_try
from tests.policy.surroundings import ask


def profile(*sysctls: tuple[str, str]) -> Profile:
    shipped = load_shipped("default")
    assert shipped is not None
    return msgspec.structs.replace(shipped, sysctls=sysctls)


def decide(
    name: str,
    value: str = "1",
    *,
    own_ipc: bool = True,
    own_network: bool = True,
    tried: dict[str, Trial] | None = None,
) -> tuple[str, Decision]:
    settings, (decision,) = decide_sysctls(
        ask(sysctls=((name, value),)),
        profile(),
        tried or {},
        own_ipc=own_ipc,
        own_network=own_network,
    )
    paths = [path for path, _ in settings]
    assert bool(paths) is (decision.outcome is Outcome.GRANTED)
    return paths[0] if paths else "", decision


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
        decide_sysctls(request, profile(), {}, own_ipc=True, own_network=True)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("ENOENT", "network namespace has no /proc/sys/net/core/x"),
        ("EINVAL", "refuses the value '1'"),
        ("EACCES", "read-only in the container's network namespace"),
        ("EPERM", "read-only in the container's network namespace"),
        ("EIO", "gave EIO"),
    ],
)
def test_one_that_was_tried_and_failed_is_refused_before_the_launch(error: str, cause: str) -> None:
    _, decision = decide("net.core.x", tried={"net/core/x": Trial(error=error)})
    assert decision.outcome is Outcome.REFUSED
    assert cause in decision.cause
    assert decision.remedy


@pytest.mark.parametrize("error", [None, "TIMEOUT", "KILLED"])
def test_a_trial_without_an_answer_refuses_nothing(error: str | None) -> None:
    _, decision = decide("net.core.x", tried={"net/core/x": Trial(error=error)})
    assert decision.outcome is Outcome.GRANTED


def test_only_what_a_new_namespace_has_is_tried() -> None:
    names = (
        "kernel.msgmax", "net.core.x", "vm.swappiness", "net.ipv4.conf.all.forwarding",
        "net.ipv4.conf.eth0.forwarding", "net.ipv6.neigh.eth0.x", "kernel.hostname",
    )  # fmt: skip
    found = sysctls_to_try(ask(sysctls=tuple((name, "1") for name in names)), profile())
    assert {kind: sorted(values) for kind, values in found.items()} == {
        "ipc": ["kernel/msgmax"],
        "net": ["net/core/x", "net/ipv4/conf/all/forwarding"],
    }


def test_where_the_kernel_has_no_ipc_namespaces_the_outer_one_is_not_changed() -> None:
    _, decision = decide("kernel.msgmax", own_ipc=False)
    assert decision.outcome is Outcome.REFUSED
    assert "shares the outer ipc" in decision.cause


def test_those_of_a_profile_are_set_as_far_as_they_can_be_and_the_rest_is_recorded() -> None:
    wanted = profile(("net.core.somaxconn", "9"), ("vm.swappiness", "1"), ("net.core.x", "2"))
    settings, decisions = decide_sysctls(
        ask(), wanted, {"net/core/x": Trial(error="ENOENT")}, own_ipc=True, own_network=True
    )
    assert settings == (("net/core/somaxconn", "9"),)
    assert [one.outcome for one in decisions] == [
        Outcome.GRANTED,
        Outcome.WEAKENED,
        Outcome.WEAKENED,
    ]
    assert all(one.cause and one.remedy for one in decisions[1:])


def test_what_is_named_replaces_what_the_profile_has_and_is_strict() -> None:
    request = ask(sysctls=(("net/core/x", "2"),))
    settings, (decision,) = decide_sysctls(
        request, profile(("net.core.x", "1")), {}, own_ipc=True, own_network=True
    )
    assert settings == (("net/core/x", "2"),)
    assert decision.asked_by == "--sysctl net/core/x=2"
