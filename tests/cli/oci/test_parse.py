"""Command lines are read as runc reads them."""

from __future__ import annotations

import pytest

from nestbox.cli.oci.command import DURATION, FLAG, NUMBER, NUMBERS, TEXT, TEXTS, Option
from nestbox.cli.oci.parse import BadCommandLine, parse

OPTIONS = (
    Option("force f", FLAG),
    Option("bundle b", TEXT),
    Option("env e", TEXTS),
    Option("count", NUMBER),
    Option("gid g", NUMBERS),
    Option("interval", DURATION),
)


def read(*words: str, stop_early: bool = False):
    return parse(OPTIONS, words, stop_early=stop_early)


@pytest.mark.parametrize(
    "words",
    [
        ("--bundle", "/b", "name"),
        ("--bundle=/b", "name"),
        ("-bundle", "/b", "name"),
        ("-b", "/b", "name"),
        ("-b=/b", "name"),
        ("name", "--bundle", "/b"),
        ("name", "-b=/b"),
        ("-b", "/other", "name", "-b", "/b"),
    ],
)
def test_a_value_in_all_its_notations(words: tuple[str, ...]) -> None:
    values, arguments = read(*words)
    assert values.text("bundle") == "/b"
    assert arguments == ["name"]


def test_a_value_may_look_like_an_option_or_be_empty() -> None:
    assert read("-b", "-f")[0].text("bundle") == "-f"
    assert read("--bundle=")[0].text("bundle") == ""
    assert read("-b", "--")[0].text("bundle") == "--"
    assert read("--bundle=a=b")[0].text("bundle") == "a=b"


@pytest.mark.parametrize(
    ("word", "value"),
    [("-f", True), ("--force", True), ("-f=true", True), ("-f=1", True), ("--force=T", True),
     ("-f=false", False), ("--force=0", False), ("-f=F", False)],
)  # fmt: skip
def test_flags_take_a_value_behind_an_equals_sign_alone(word: str, value: bool) -> None:
    values, arguments = read(word, "false")
    assert values.flag("force") is value
    assert arguments == ["false"]


def test_a_flag_that_is_not_given_is_told_from_one_that_is_off() -> None:
    assert read()[0].flag_if_given("force") is None
    assert read("-f=0")[0].flag_if_given("force") is False
    assert read("-f")[0].flag_if_given("force") is True


def test_options_that_may_be_repeated() -> None:
    values, _ = read("-e", "A=1", "-e=B=2,3", "-g", "1", "--gid", "-2")
    assert values.texts("env") == ("A=1", "B=2,3")
    assert values.numbers("gid") == (1, -2)


def test_two_dashes_end_the_options() -> None:
    assert read("-f", "--", "-b", "x")[1] == ["-b", "x"]
    assert read("a", "--", "-f")[1] == ["a", "-f"]


def test_what_follows_the_first_argument_may_be_passed_on() -> None:
    values, arguments = read("-f", "name", "ls", "-b", "--", stop_early=True)
    assert values.flag("force")
    assert arguments == ["name", "ls", "-b", "--"]


def test_an_unknown_option_behind_an_argument_is_an_argument() -> None:
    assert read("name", "-9")[1] == ["name", "-9"]
    assert read("name", "--nonsense", "-f")[1] == ["name", "--nonsense"]


def test_a_single_dash_is_an_argument() -> None:
    assert read("-", "-f")[1] == ["-"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--nonsense",), "flag provided but not defined: -nonsense"),
        (("-x=1",), "flag provided but not defined: -x"),
        (("-fb",), "flag provided but not defined: -fb"),
        (("--bundle",), "flag needs an argument: -bundle"),
        (("name", "-b"), "flag needs an argument: -b"),
        (("-f=maybe",), 'invalid boolean value "maybe" for -f: parse error'),
        (("-f=",), 'invalid boolean value "" for -f: parse error'),
        (("--count=1x",), 'invalid value "1x" for flag -count: parse error'),
        (("--count", ""), 'invalid value "" for flag -count: parse error'),
        (("--count", " 1"), 'invalid value " 1" for flag -count: parse error'),
        (("--interval=5",), 'invalid value "5" for flag -interval: parse error'),
        (("--interval=s",), 'invalid value "s" for flag -interval: parse error'),
        (("--interval=1.2.3s",), 'invalid value "1.2.3s" for flag -interval: parse error'),
    ],
)
def test_what_is_wrong_is_told_in_the_words_of_runc(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(BadCommandLine) as raised:
        read(*words)
    assert str(raised.value) == problem


@pytest.mark.parametrize(
    ("text", "number"), [("10", 10), ("-1", -1), ("0x10", 16), ("010", 8), ("0o10", 8), ("+3", 3)]
)
def test_numbers(text: str, number: int) -> None:
    assert read("--count", text)[0].number("count") == number


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("5s", 5e9), ("100ms", 1e8), ("1m30s", 90e9), ("1.5h", 5400e9), ("2us", 2e3), ("3ns", 3),
     ("0", 0), ("-1s", -1e9), (".5s", 5e8)],
)  # fmt: skip
def test_durations(text: str, nanoseconds: float) -> None:
    assert read("--interval", text)[0].number("interval") == nanoseconds
