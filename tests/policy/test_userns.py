"""The ladder of user namespaces and their ids."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, OuterEnvironment, SubordinateIds, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.id_maps import parse_map
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.userns import UserNamespaceChoice, decide_user_namespace
from tests.policy.surroundings import (
    ALL,
    EVERY_ID,
    ask,
    change,
    docker_container,
    full_root,
    rights,
    unprivileged_user,
    without,
)

RANGE = (SubordinateIds(first=100000, count=65536),)


def choose(wanted: str | None, environment: OuterEnvironment) -> UserNamespaceChoice:
    profile = load_shipped("default")
    assert profile is not None
    return decide_user_namespace(ask(user_namespace=wanted), profile, environment)


def with_ranges(environment: OuterEnvironment, *, tools: bool) -> OuterEnvironment:
    path = "/usr/bin/newuidmap" if tools else None
    return change(
        environment,
        tools=msgspec.structs.replace(
            environment.tools, newuidmap=path, newgidmap=path, subuid=RANGE, subgid=RANGE
        ),
    )


def row(inside: int, outside: int, count: int) -> IdMap:
    return IdMap(inside=inside, outside=outside, count=count)


def test_with_sys_admin_none_is_needed() -> None:
    choice = choose(None, full_root())
    assert not choice.new
    assert choice.decisions[0].outcome is Outcome.GRANTED


def test_without_sys_admin_the_profile_gets_a_new_one() -> None:
    choice = choose(None, unprivileged_user())
    assert choice.new
    assert choice.decisions[0].outcome is Outcome.WEAKENED
    assert "CAP_SYS_ADMIN" in choice.decisions[0].cause


def test_without_sys_admin_host_by_name_is_refused() -> None:
    choice = choose("host", unprivileged_user())
    assert choice.refused
    assert "CAP_SYS_ADMIN" in choice.decisions[0].cause


def test_where_neither_can_be_had_the_launch_is_refused_with_both_causes() -> None:
    choice = choose(None, docker_container())
    assert choice.refused
    assert not choice.new
    for word in ("CAP_SYS_ADMIN", "EPERM"):
        assert word in choice.decisions[0].cause


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user.max_user_namespaces", "0"),
        ("kernel.unprivileged_userns_clone", "0"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_the_sysctl_that_forbids_it_is_named(name: str, value: str) -> None:
    environment = change(docker_container(), sysctls={name: value})
    decision = choose("auto", environment).decisions[0]
    assert name in decision.cause
    assert name in decision.remedy


def test_root_with_a_range_gets_it() -> None:
    choice = choose("auto", with_ranges(full_root(), tools=False))
    assert choice.uid_map == choice.gid_map == (row(0, 100000, 65536),)
    assert not choice.with_tools
    assert choice.setgroups


def test_root_without_a_range_gets_every_id_as_itself_and_is_told() -> None:
    choice = choose("auto", full_root())
    assert choice.uid_map == EVERY_ID
    assert [one.outcome for one in choice.decisions] == [Outcome.GRANTED, Outcome.WEAKENED]


def test_mapping_root_needs_setfcap() -> None:
    environment = change(full_root(), capabilities=rights(without(ALL, "CAP_SETFCAP")))
    for wanted in ("auto", "0:0:10"):
        choice = choose(wanted, environment)
        assert choice.refused
        assert "CAP_SETFCAP" in choice.decisions[0].cause
    assert choose("0:1000:10", environment).uid_map == (row(0, 1000, 10),)


def test_a_trial_that_could_only_fail_says_nothing() -> None:
    """Trials map our own id: as uid 0 without CAP_SETFCAP that fails, and other maps do not."""
    failed = dict.fromkeys(("user", "net"), Trial(error="EPERM"))
    environment = change(
        full_root(),
        capabilities=rights(without(ALL, "CAP_SETFCAP")),
        namespaces=msgspec.structs.replace(full_root().namespaces, create_with_user=failed),
    )
    assert choose("0:1000:10", environment).new
    assert "CAP_SETFCAP" in choose("auto", environment).decisions[0].cause


def test_a_user_with_a_range_and_tools_gets_both() -> None:
    choice = choose("auto", with_ranges(unprivileged_user(), tools=True))
    assert choice.uid_map == (row(0, 1000, 1), row(1, 100000, 65536))
    assert choice.with_tools
    assert choice.setgroups


def test_a_user_with_a_range_and_no_tools_gets_one_id() -> None:
    choice = choose("auto", with_ranges(unprivileged_user(), tools=False))
    assert choice.uid_map == (row(0, 1000, 1),)
    assert not choice.setgroups
    assert "newuidmap" in choice.decisions[1].cause


def test_a_range_that_does_not_exist_outside_is_passed_over() -> None:
    small = msgspec.structs.replace(full_root().user_namespace, uid_map=(row(0, 0, 65536),))
    choice = choose("auto", change(with_ranges(full_root(), tools=False), user_namespace=small))
    assert choice.uid_map == (row(0, 0, 65536),)


def test_a_map_by_name_is_given_exactly() -> None:
    choice = choose("0:5000:10,100:6000:1", full_root())
    assert choice.uid_map == choice.gid_map == (row(0, 5000, 10), row(100, 6000, 1))
    assert [one.outcome for one in choice.decisions] == [Outcome.GRANTED]


def test_a_user_can_map_the_own_id_by_name() -> None:
    choice = choose("5:1000:1", unprivileged_user())
    assert choice.uid_map == (row(5, 1000, 1),)
    assert not choice.setgroups


@pytest.mark.parametrize("text", ["0:2000:1", "0:1000:2", "0:100000:65537"])
def test_a_user_cannot_map_what_belongs_to_others(text: str) -> None:
    assert choose(text, with_ranges(unprivileged_user(), tools=True)).refused


def test_ids_that_do_not_exist_outside_are_refused() -> None:
    small = msgspec.structs.replace(full_root().user_namespace, uid_map=(row(0, 0, 65536),))
    choice = choose("0:100000:10", change(full_root(), user_namespace=small))
    assert choice.refused
    assert "100000" in choice.decisions[0].cause


def test_one_kind_of_namespace_that_cannot_be_made_is_named() -> None:
    namespaces = full_root().namespaces
    assert namespaces is not None
    trials = namespaces.create_with_user | {"net": Trial(error="ENOSPC")}
    environment = change(
        full_root(),
        namespaces=msgspec.structs.replace(namespaces, create_with_user=trials),
    )
    decision = choose("auto", environment).decisions[0]
    assert "net" in decision.cause
    assert "ENOSPC" in decision.cause


@pytest.mark.parametrize(
    "text",
    ["", "nobody", "0:0", "0:0:0", "0:0:-1", "0:0:1,", "a:0:1", "0:0:4294967296",
     "0:0:2,1:5:1", "0:0:2,5:1:1", "4294967295:0:1", "0:0:1\n", "²:0:1"],
)  # fmt: skip
def test_what_is_no_map_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_map(text)


def test_more_rows_than_the_kernel_takes_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="340"):
        parse_map(",".join(f"{n}:{n}:1" for n in range(341)))
