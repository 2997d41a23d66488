"""--ulimit and --sysctl: the syntax alone."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.flags.limits import parse_score, parse_sysctl, parse_ulimit


@pytest.mark.parametrize(
    ("text", "name", "soft", "hard"),
    [
        ("nofile=1024", "RLIMIT_NOFILE", 1024, 1024),
        ("nofile=1024:2048", "RLIMIT_NOFILE", 1024, 2048),
        ("NPROC=5:unlimited", "RLIMIT_NPROC", 5, None),
        ("core=-1", "RLIMIT_CORE", None, None),
        ("RLIMIT_CORE=0", "RLIMIT_CORE", 0, 0),
        # That soft is above hard is for the policy to refuse.
        ("core=2:1", "RLIMIT_CORE", 2, 1),
    ],
)
def test_a_limit(text: str, name: str, soft: int | None, hard: int | None) -> None:
    limit = parse_ulimit(text)
    assert (limit.name, limit.soft, limit.hard) == (name, soft, hard)
    assert limit.asked_by == f"--ulimit {text}"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no resource limit"),
        ("=5", "no resource limit"),
        ("nofile", "no value"),
        ("nofile=", "no value"),
        ("nofile=5:", "empty"),
        ("nofile=:5", "empty"),
        ("nofile=-2", "'-2'"),
        ("nofile=5:6:7", "'6:7'"),
        ("nofile=1k", "'1k'"),
    ],
)
def test_what_is_no_limit_is_refused(text: str, word: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_ulimit(text)
    assert word in refused.value.cause


def test_a_misspelt_limit_is_told_which_one_was_meant() -> None:
    with pytest.raises(UsageError) as refused:
        parse_ulimit("nofiles=5")
    assert refused.value.remedy == "did you mean nofile?"


def test_a_kernel_parameter() -> None:
    assert parse_sysctl("net.ipv4.ip_forward=1") == ("net.ipv4.ip_forward", "1")
    assert parse_sysctl("kernel.domainname=a=b") == ("kernel.domainname", "a=b")


@pytest.mark.parametrize("text", ["", "=1", "net.ipv4.ip_forward"])
def test_what_is_no_kernel_parameter_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_sysctl(text)


@pytest.mark.parametrize(("text", "score"), [("0", 0), ("-1000", -1000), ("1000", 1000)])
def test_a_score(text: str, score: int) -> None:
    assert parse_score(text) == score


@pytest.mark.parametrize(
    "text", ["", "1001", "-1001", "+5", "1.5", " 5", "5\n", "--5", "\u0661", "99999", "never"]
)
def test_what_is_no_score_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="-1000 to 1000"):
        parse_score(text)
