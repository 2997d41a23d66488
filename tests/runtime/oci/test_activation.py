"""Descriptors that the caller hands on: socket activation and --preserve-fds."""

from __future__ import annotations

import os

import pytest

from nestbox.errors import LaunchError, UsageError
from nestbox.runtime.oci.activation import (
    check_listen,
    check_preserved,
    listen_environment,
    listen_fds,
)


@pytest.mark.parametrize(
    ("environ", "count"),
    [
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, 2),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, 0),
        ({"LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": "7"}, 0),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "-1"}, 0),
        ({"LISTEN_PID": "seven", "LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "9" * 5000}, 0),
        ({}, 0),
    ],
)
def test_descriptors_are_for_the_process_that_is_named(environ: dict[str, str], count: int) -> None:
    assert listen_fds(environ, 7) == count


def test_the_first_process_is_told_of_them() -> None:
    assert listen_environment(2) == ("LISTEN_FDS=2", "LISTEN_PID=1")
    assert listen_environment(0) == ()


def test_a_descriptor_that_is_not_open_is_named() -> None:
    read, write = os.pipe()
    os.close(write)
    os.set_inheritable(read, True)
    check_preserved(read, 1)
    os.close(read)
    with pytest.raises(LaunchError) as caught:
        check_preserved(read, 1)
    assert str(caught.value).startswith(
        f"unable to stat preserved-fd 0 (of 1): descriptor {read}: bad file descriptor"
    )


def test_less_than_none_cannot_be_preserved() -> None:
    with pytest.raises(UsageError, match="the number is negative"):
        check_preserved(3, -1)


def test_a_descriptor_of_our_own_is_not_one_that_was_handed_over() -> None:
    # Whatever the caller says: the log, the lock and others must not reach a container.
    read, write = os.pipe()
    try:
        with pytest.raises(LaunchError, match=f"descriptor {read} was not handed to us"):
            check_preserved(read, 1)
    finally:
        os.close(read)
        os.close(write)


def test_what_listen_fds_tells_of_has_to_be_there() -> None:
    check_listen(0)
    with pytest.raises(LaunchError, match="descriptors of LISTEN_FDS"):
        check_listen(1000)
