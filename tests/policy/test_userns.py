"""The ladder of user namespaces and their ids."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, OuterEnvironment, SubordinateIds, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.profile import Choice
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.userns import UserNamespaceChoice, decide_user_namespace
from tests.policy.surroundings import (
    ALL,
    EVERY_ID,
    WORKS,
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
    namespaces = full_root().namespaces
    assert namespaces is not None
    failed = {"make": WORKS, "setgroups": WORKS, "uid_map": Trial(error="EPERM")}
    environment = change(
        full_root(),
        capabilities=rights(without(ALL, "CAP_SETFCAP")),
        namespaces=msgspec.structs.replace(namespaces, user_steps=failed),
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


KEPT = (row(0, 100000, 1000), row(1000, 1000, 1), row(1001, 101000, 64536))


def test_keep_id_gives_the_own_id_its_place_among_a_range() -> None:
    choice = choose("keep-id", with_ranges(unprivileged_user(), tools=True))
    assert choice.uid_map == choice.gid_map == KEPT
    assert choice.user == "1000:1000"
    assert [one.outcome for one in choice.decisions] == [Outcome.GRANTED]


def test_keep_id_with_one_id_is_that_one() -> None:
    choice = choose("keep-id", unprivileged_user())
    assert choice.uid_map == (row(1000, 1000, 1),)
    assert choice.user == "1000:1000"
    assert not choice.setgroups


def test_keep_id_can_name_the_ids_inside() -> None:
    choice = choose("keep-id:uid=5,gid=7", with_ranges(unprivileged_user(), tools=True))
    assert row(5, 1000, 1) in choice.uid_map
    assert row(7, 1000, 1) in choice.gid_map
    assert choice.user == "5:7"


def test_keep_id_of_root_without_a_range_has_the_ids_that_exist() -> None:
    assert choose("keep-id", full_root()).uid_map == EVERY_ID
    moved = choose("keep-id:uid=5", full_root())
    assert moved.uid_map[:2] == (row(0, 1, 5), row(5, 0, 1))
    assert moved.user == "5:0"


@pytest.mark.parametrize(
    "text",
    ["keep-id:", "keep-id:uid", "keep-id:uid=", "keep-id:uid=-1", "keep-id:uid=1,uid=2",
     "keep-id:user=1", "keep-id:uid=4294967295", "keep-id:uid=1,", "keep-ids",
     "keep-id:uid=\u00b2"],
)  # fmt: skip
def test_what_is_no_keep_id_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        choose(text, unprivileged_user())


def mapped(uids: tuple[str, ...], gids: tuple[str, ...] = (), **fields: str) -> UserNamespaceChoice:
    profile = load_shipped("default")
    assert profile is not None
    request = ask(uid_maps=uids, gid_maps=gids, **fields)
    return decide_user_namespace(request, profile, with_ranges(unprivileged_user(), tools=True))


def test_uidmap_and_gidmap_are_maps_of_their_own() -> None:
    choice = mapped(("0:1000", "1:100000:10"), ("0:100000:5",))
    assert choice.uid_map == (row(0, 1000, 1), row(1, 100000, 10))
    assert choice.gid_map == (row(0, 100000, 5),)
    assert choice.setgroups
    assert choice.decisions[0].asked_by == (
        "--uidmap 0:1000 --uidmap 1:100000:10 --gidmap 0:100000:5"
    )


def test_one_of_the_two_is_meant_for_both() -> None:
    assert mapped(("0:100000:5",)).gid_map == (row(0, 100000, 5),)
    assert mapped((), ("0:100000:5",)).uid_map == (row(0, 100000, 5),)


def test_newgidmap_denies_setgroups_where_no_gid_is_of_a_range() -> None:
    assert not mapped(("0:1000", "1:100000:10"), ("0:1000",)).setgroups


def test_maps_by_two_options_contradict() -> None:
    with pytest.raises(UsageError, match="both say"):
        mapped(("0:100000:5",), user_namespace="auto")


def test_pieces_of_a_range_that_exist_in_a_nested_namespace_are_used() -> None:
    inner = msgspec.structs.replace(
        full_root().user_namespace,
        initial=False,
        uid_map=(row(0, 5000, 1), row(100000, 700000, 30), row(100030, 900000, 100)),
        gid_map=(row(0, 5000, 1), row(100010, 700000, 5)),
    )
    choice = choose("auto", change(with_ranges(full_root(), tools=False), user_namespace=inner))
    assert choice.uid_map == (row(0, 100000, 30), row(30, 100030, 100))
    assert choice.gid_map == (row(0, 100010, 5),)


def test_own_id_in_an_own_range_is_mapped_once() -> None:
    ranges = (SubordinateIds(first=1000, count=10),)
    environment = with_ranges(unprivileged_user(), tools=True)
    tools = msgspec.structs.replace(environment.tools, subuid=ranges, subgid=ranges)
    choice = choose("auto", change(environment, tools=tools))
    assert choice.uid_map == (row(0, 1000, 1), row(1, 1001, 9))


def test_setgroups_that_is_denied_around_us_is_denied_inside() -> None:
    denied = msgspec.structs.replace(full_root().user_namespace, setgroups_denied=True)
    for user in (full_root(), unprivileged_user()):
        environment = change(with_ranges(user, tools=True), user_namespace=denied)
        assert not choose("auto", environment).setgroups


def test_ids_that_somebody_else_has_too_are_told() -> None:
    environment = with_ranges(unprivileged_user(), tools=True)
    note = "/etc/subuid gives ids of ours to bob too"
    tools = msgspec.structs.replace(environment.tools, subordinate_shared=(note,))
    _, ids = choose("auto", change(environment, tools=tools)).decisions
    assert ids.outcome is Outcome.WEAKENED
    assert ids.cause == note


def test_a_damaged_file_is_named_where_no_range_was_found() -> None:
    note = "/etc/subuid cannot be read: not a regular file"
    tools = msgspec.structs.replace(unprivileged_user().tools, subordinate_notes=(note,))
    _, ids = choose("auto", change(unprivileged_user(), tools=tools)).decisions
    assert note in ids.cause


def test_a_profile_can_ask_for_the_own_ids() -> None:
    profile = load_shipped("default")
    assert profile is not None
    wanted = msgspec.structs.replace(profile, user_namespace=Choice(want="keep-id"))
    choice = decide_user_namespace(ask(), wanted, unprivileged_user())
    assert choice.user == "1000:1000"
    assert choice.decisions[0].asked_by == "profile default"
