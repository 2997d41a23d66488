"""The lock file of capabilities."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from nestbox.doctor.layout import Page
from nestbox.doctor.lock import changes, load_lock, lock_of, save_lock
from nestbox.doctor.lock_text import render_changes
from nestbox.doctor.outlook import foresee
from nestbox.doctor.shipped import Shipped
from nestbox.errors import UsageError
from nestbox.outer.facts import OuterEnvironment

Load = Callable[[str], OuterEnvironment]


def test_a_lock_holds_where_it_was_made(recorded: str, load: Load, shipped: Shipped) -> None:
    table = foresee(load(recorded), shipped.profiles)
    lock = load_lock(save_lock(lock_of(table)), "nestbox.lock")
    assert changes(lock, table) == ()


def test_what_is_lost_comes_with_its_cause(load: Load, shipped: Shipped) -> None:
    lock = lock_of(foresee(load("host"), shipped.profiles))
    there = foresee(load("docker-default"), shipped.profiles)
    lost = [one for one in changes(lock, there) if not one.gained]
    assert len([one for one in lost if one.profile == "privileged"]) == 27
    assert all(one.cause and one.remedy for one in lost)
    text = render_changes(tuple(lost), Page())
    assert text.startswith("- privileged: CAP_DAC_READ_SEARCH, ")
    assert max(map(len, text.splitlines())) <= 80


def test_what_is_gained_is_told_too(load: Load, shipped: Shipped) -> None:
    lock = lock_of(foresee(load("docker-default"), shipped.profiles))
    gained = changes(lock, foresee(load("host"), shipped.profiles))
    assert gained
    assert all(one.gained for one in gained)


def test_a_profile_that_is_gone_is_told(load: Load, shipped: Shipped) -> None:
    table = foresee(load("host"), shipped.profiles)
    lock = msgspec.structs.replace(lock_of(table), profiles={"mine": ("CAP_KILL",)})
    mine = [one for one in changes(lock, table) if one.profile == "mine"]
    assert [one.cause for one in mine] == ["this nestbox has no such profile"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 2, "profiles": {}}',
        b'{"profiles": {"default": "CAP_KILL"}}',
        b'{"profiles": {}, "more": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_lock_is_refused(text: bytes) -> None:
    with pytest.raises(UsageError, match="cannot read the lock"):
        load_lock(text, "nestbox.lock")
