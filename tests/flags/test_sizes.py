"""Sizes, processors and counts on the command line."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.flags.sizes import parse_count, parse_cpus, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1b", 1),
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("64mb", 64 << 20),
        ("64MiB", 64 << 20),
        ("512 kb", 512 << 10),
        ("2g", 2 << 30),
        ("1.5g", 3 << 29),
        ("0.5k", 512),
        ("1t", 1 << 40),
        ("1p", 1 << 50),
    ],
)
def test_a_size_is_read_as_docker_reads_it(text: str, size: int) -> None:
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "-64m", "64x", "64mm", "1e9", "0x10", "6 4m", "64m\n1", "٦٤m", "1.m"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_size(text, "--memory")
    assert refused.value.what == f"--memory {text}"
    assert "64m" in refused.value.remedy


def test_a_negative_size_is_called_that() -> None:
    with pytest.raises(UsageError) as refused:
        parse_size("-64m", "--memory")
    assert refused.value.cause == "a size is not negative"


@pytest.mark.parametrize(
    ("text", "cpus"), [("2", 2.0), ("0.5", 0.5), (".25", 0.25), ("1.", 1.0), ("0", 0.0)]
)
def test_a_number_of_processors(text: str, cpus: float) -> None:
    assert parse_cpus(text, "--cpus") == cpus


@pytest.mark.parametrize("text", ["", ".", "-1", "nan", "inf", "1e3", "1,5", "two"])
def test_what_is_no_number_of_processors_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_cpus(text, "--cpus")


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("-1", -1), ("unlimited", -1), ("256", 256)])
def test_a_count(text: str, count: int) -> None:
    assert parse_count(text, "--pids-limit") == count


@pytest.mark.parametrize("text", ["", "-", "1.5", "many", "0x1", "1_000"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_count(text, "--pids-limit")
