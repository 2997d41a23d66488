"""Paths: cleaned as text, masked, and searched for the program."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import UsageError
from nestbox.policy.environment import PATH, environment_of
from nestbox.policy.paths import candidates, clean, decide_masks
from nestbox.policy.request import SecurityOptions
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import ask


@given(st.lists(st.sampled_from(["a", "bc", ".", "..", ""]), max_size=8))
def test_a_clean_path_is_the_normal_one_or_leads_above_the_root(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    relative = posixpath.normpath("/".join(part for part in parts if part) or ".")
    if relative == ".." or relative.startswith("../"):
        with pytest.raises(UsageError):
            clean(path, what="x")
    else:
        assert clean(path, what="x") == posixpath.normpath("/" + relative)


def test_a_program_with_a_slash_is_a_path() -> None:
    assert candidates("/bin/true", "/w", PATH) == ("/bin/true",)
    assert candidates("./true", "/w", PATH) == ("/w/./true",)
    assert candidates("a/true", "/", PATH) == ("/a/true",)


def test_any_other_is_searched_in_absolute_directories_of_path() -> None:
    assert candidates("true", "/w", "/a::b:/c/:/a") == ("/a/true", "/c/true")
    assert candidates("true", "/w", "") == ()


def test_variables_have_defaults_and_the_last_of_two_wins() -> None:
    request = ask(environment=("A=1", "HOME=/x", "A=2=3", "E="), terminal=True)
    assert environment_of(request, home="/root", hostname="h") == {
        "PATH": PATH,
        "HOSTNAME": "h",
        "container": "nestbox",
        "HOME": "/x",
        "TERM": "xterm",
        "A": "2=3",
        "E": "",
    }
    assert "TERM" not in environment_of(ask(), home="/", hostname="h")


def masks(profile: str = "default", **security: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    chosen = load_shipped(profile)
    assert chosen is not None
    masked, readonly, _ = decide_masks(ask(security=SecurityOptions(**security)), chosen)
    return masked, readonly


def test_a_profile_masks_and_flags_add_and_lift() -> None:
    masked, readonly = masks(mask=("/srv/x",), unmask=("/proc/kcore", "/proc/sys"))
    assert "/srv/x" in masked
    assert "/proc/keys" in masked
    assert "/proc/kcore" not in masked
    assert "/proc/sys" not in readonly


def test_a_star_lifts_everything_below() -> None:
    masked, readonly = masks(unmask=("/proc/*",))
    assert not [path for path in (*masked, *readonly) if path.startswith("/proc")]
    assert "/sys/firmware" in masked


def test_all_lifts_all_but_what_is_named() -> None:
    assert masks(unmask=("ALL",), mask=("/x",)) == (("/x",), ())


def test_privileged_masks_only_what_is_named() -> None:
    assert masks("privileged", mask=("/x",)) == (("/x",), ())
