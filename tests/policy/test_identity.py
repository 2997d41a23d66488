"""Who the container's program is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, OuterEnvironment
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.identity import MAX_ID, Person, decide_identity, split_user
from nestbox.policy.userns import UserNamespaceChoice
from tests.policy.surroundings import (
    ALL,
    ROOT,
    ask,
    change,
    full_root,
    rights,
    unprivileged_user,
    without,
)

STAY = UserNamespaceChoice(new=False)
ONE_ID = UserNamespaceChoice(
    new=True,
    uid_map=(IdMap(inside=0, outside=1000, count=1),),
    gid_map=(IdMap(inside=0, outside=1000, count=1),),
    setgroups=False,
)


def who(
    user: str | None,
    environment: OuterEnvironment | None = None,
    namespace: UserNamespaceChoice = STAY,
) -> tuple[Person, tuple[Decision, ...]]:
    return decide_identity(ask(user=user), ROOT, environment or full_root(), namespace)


def ids(user: str | None) -> tuple[int, int, tuple[int, ...] | None, str]:
    person, decisions = who(user)
    assert [one.outcome for one in decisions] == [Outcome.GRANTED]
    return person.uid, person.gid, person.groups, person.home


def test_root_is_the_default_with_the_groups_of_the_image() -> None:
    assert ids(None) == (0, 0, (6,), "/root")


def test_a_name_brings_group_groups_and_home() -> None:
    assert ids("alice") == (1001, 1001, (44,), "/home/alice")


def test_a_number_in_passwd_is_that_user() -> None:
    assert ids("1001") == (1001, 1001, (44,), "/home/alice")


def test_a_number_that_nobody_has_is_in_group_0() -> None:
    assert ids("4242") == (4242, 0, (), "/")


def test_a_group_by_name_or_number_leaves_further_groups_out() -> None:
    assert ids("alice:video") == (1001, 44, (), "/home/alice")
    assert ids("0:7") == (0, 7, (), "/root")


def test_digits_are_a_number_even_where_a_user_is_called_so() -> None:
    """CVE-2016-3697: the passwd file has a user named 1000 with uid 0."""
    assert ids("1000") == (1000, 0, (), "/")


@pytest.mark.parametrize(
    "text",
    ["", ":", "1000:", ":5", "-1", "+5", "4294967295", "99999999999999999999", "0x10", "1 ",
     "1:2:3", "a b", "a\n", "a\0", "\uff11"],
)  # fmt: skip
def test_what_is_no_user_is_a_usage_error(text: str) -> None:
    """CVE-2026-30892: signs, overflow and rubbish behind the number."""
    with pytest.raises(UsageError):
        who(text)


@given(st.text(max_size=12))
def test_every_text_is_read_strictly_or_refused(text: str) -> None:
    try:
        words = split_user(text)
    except UsageError as error:
        words, said = (), str(error)
    else:
        said = ""
    assert not {"\n", "\0"} & {*said}
    assert all(word.isascii() for word in words if word)
    assert all(int(word) <= MAX_ID for word in words if word and word.isdigit())


@pytest.mark.parametrize(("text", "file"), [("bob", "passwd"), ("alice:wheel", "group")])
def test_an_unknown_name_is_refused_and_says_where_it_was_looked_for(text: str, file: str) -> None:
    _, (decision,) = who(text)
    assert decision.outcome is Outcome.REFUSED
    assert f"/etc/{file}" in decision.cause


def test_a_root_without_passwd_takes_numbers_only() -> None:
    bare = msgspec.structs.replace(ROOT, passwd=None, group=None)
    person, _ = decide_identity(ask(user="5:6"), bare, full_root(), STAY)
    assert (person.uid, person.gid, person.groups) == (5, 6, ())
    _, (decision,) = decide_identity(ask(user="alice"), bare, full_root(), STAY)
    assert "no /etc/passwd" in decision.cause


def test_malformed_lines_of_passwd_are_passed_over() -> None:
    text = "a:x:-1:0::/:/\nb:x:4294967295:0::/:/\nc:x:1:1\nalice:x:7:8::/h:/bin/sh\n"
    root = msgspec.structs.replace(ROOT, passwd=text)
    person, _ = decide_identity(ask(user="alice"), root, full_root(), STAY)
    assert (person.uid, person.gid, person.home) == (7, 8, "/h")
    for name in ("a", "b", "c"):
        _, (decision,) = decide_identity(ask(user=name), root, full_root(), STAY)
        assert decision.outcome is Outcome.REFUSED


def test_another_uid_needs_setuid() -> None:
    environment = change(full_root(), capabilities=rights(without(ALL, "CAP_SETUID")))
    _, decisions = who("1001", environment)
    assert decisions[0].outcome is Outcome.REFUSED
    assert "CAP_SETUID" in decisions[0].cause
    _, decisions = who(None, environment)
    assert decisions[0].outcome is Outcome.GRANTED


def test_without_setgid_the_groups_are_kept_and_that_is_recorded() -> None:
    environment = change(full_root(), capabilities=rights(without(ALL, "CAP_SETGID")))
    person, decisions = who(None, environment)
    assert person.groups is None
    assert decisions[1].outcome is Outcome.WEAKENED


def test_an_id_outside_the_map_is_refused() -> None:
    _, decisions = who("1001", unprivileged_user(), ONE_ID)
    assert decisions[0].outcome is Outcome.REFUSED
    assert "uid 1001" in decisions[0].cause


def test_where_setgroups_is_denied_the_outer_groups_stay() -> None:
    person, decisions = who(None, unprivileged_user(), ONE_ID)
    assert person.groups is None
    assert decisions[1].chosen == "the outer groups are kept: 27, seen inside as 65534 (nobody)"


def test_groups_outside_the_map_are_lost_and_named() -> None:
    rows = (IdMap(inside=0, outside=100000, count=5),)
    few = UserNamespaceChoice(new=True, uid_map=rows, gid_map=rows)
    person, decisions = who(None, full_root(), few)
    assert person.groups == ()
    assert "6" in decisions[1].cause
