"""Names of capabilities as users write them."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.kernel.capabilities import TABLE
from nestbox.policy.capability_names import (
    ALL_NAMES_OF_CONFIG,
    BadName,
    CapabilityName,
    contradictions,
    read_name,
    read_names,
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_spelling_of_a_known_name_is_the_same_capability(row) -> None:
    short = row.name.removeprefix("CAP_")
    spellings = (row.name, short, row.name.lower(), short.title(), str(row.number))
    numbered = f"cap_{row.number}"
    for text in (*spellings, numbered):
        assert read_name(text) == CapabilityName(text=text, number=row.number, lenient=False)
        lenient = read_name(text + "?")
        assert lenient == CapabilityName(text=text + "?", number=row.number, lenient=True)


def test_a_number_newer_than_the_table_is_carried() -> None:
    assert read_name("CAP_63") == CapabilityName(text="CAP_63", number=63, lenient=False)
    assert read_name("41") == CapabilityName(text="41", number=41, lenient=False)


@pytest.mark.parametrize("text", ["ALL", "all", "All"])
def test_all_is_lenient_and_no_number(text: str) -> None:
    assert read_name(text) == CapabilityName(text=text, number=None, lenient=True)


def test_all_caps_is_a_name_in_config_json_only() -> None:
    name = read_name("ALL_CAPS", ALL_NAMES_OF_CONFIG)
    assert isinstance(name, CapabilityName)
    assert name.is_all
    assert isinstance(read_name("ALL_CAPS"), BadName)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is empty"),
        ("?", "is empty"),
        ("CAP_", "has no name after the prefix"),
        ("cap_?", "has no name after the prefix"),
        ("64", "is above 63"),
        ("CAP_64", "is above 63"),
        ("9" * 5000, "is above 63"),
        ("-1", "is not a number from 0 to 63"),
        ("+5", "is not a number from 0 to 63"),
        ("ALL?", "is lenient already"),
        ("NET ADMIN", "has characters that no capability name has"),
        ("NET_ADMIN\n", "has characters that no capability name has"),
        ("NET_ADMIN\0", "has characters that no capability name has"),
        (" NET_ADMIN", "has characters that no capability name has"),
        ("ſYS_ADMIN", "has characters that no capability name has"),  # noqa: RUF001
        ("٢١", "has characters that no capability name has"),
        ("\udcff", "has characters that no capability name has"),
        ("CAP_CAP_KILL", "is not a capability"),
        ("SYS_ADMIN??", "is not a capability"),
    ],
)
def test_bad_name_says_why(text: str, cause: str) -> None:
    name = read_name(text)
    assert isinstance(name, BadName)
    assert cause in name.cause


@pytest.mark.parametrize(
    ("text", "meant"),
    [("SYS_ADMN", "SYS_ADMIN"), ("cap_netadmin", "NET_ADMIN"), ("CAP_ALL", "ALL"), ("xyz", "")],
)
def test_bad_name_suggests_the_one_that_was_meant(text: str, meant: str) -> None:
    name = read_name(text)
    assert isinstance(name, BadName)
    assert name.suggestion == meant


def test_one_error_lists_every_bad_name_of_every_source() -> None:
    with pytest.raises(UsageError) as caught:
        read_names((("--cap-add", ("FOO", "KILL", "64")), ("--cap-drop", ("CAP_", "ALL", "all"))))
    for part in ("--cap-add 'FOO'", "--cap-add '64'", "--cap-drop 'CAP_'", "--cap-drop 'all'"):
        assert part in caught.value.cause
    assert "KILL" not in caught.value.cause


def test_error_is_one_short_printable_line_whatever_was_written() -> None:
    with pytest.raises(UsageError) as caught:
        read_names((("--cap-add", ("x" * 100_000, "a\nb\x1b[31m", "\udcff")),))
    text = str(caught.value)
    assert text.replace("…", "").isascii()
    assert text.replace("…", "").isprintable()
    assert len(text) < 600


def test_a_name_twice_is_harmless_and_all_twice_is_not() -> None:
    names = read_names((("--cap-add", ("KILL", "cap_kill", "5")),))[0]
    assert {name.number for name in names} == {5}
    with pytest.raises(UsageError, match="given twice"):
        read_names((("--cap-add", ("ALL", "all")),))


def test_contradictions_are_found_whatever_the_spelling() -> None:
    adds, drops = read_names((("+", ("sys_admin?", "KILL", "ALL")), ("-", ("21", "ALL", "CHOWN"))))
    assert contradictions(adds, drops) == ("CAP_SYS_ADMIN", "ALL")
