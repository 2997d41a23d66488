"""Descriptors that are handed through the runtime to the container's program.

Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, UsageError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = 3  # SD_LISTEN_FDS_START


def listen_fds(environ: Mapping[str, str], pid: int) -> int:
    """Return how many descriptors from FIRST on the service manager hands to process ``pid``."""
    if _number(environ.get("LISTEN_PID", "")) != pid:
        return 0
    return _number(environ.get("LISTEN_FDS", ""))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def listen_environment(count: int) -> tuple[str, ...]:
    """Return the variables that tell the container's first process of ``count`` descriptors."""
    return (f"LISTEN_FDS={count}", "LISTEN_PID=1") if count else ()


def check_listen(count: int) -> None:
    """Refuse when one of the descriptors of LISTEN_FDS is not there. Raises LaunchError."""
    for fd in range(FIRST, FIRST + count):
        problem = _problem(fd)
        if problem:
            raise LaunchError(
                f"cannot hand over the {count} descriptors of LISTEN_FDS",
                cause=problem,
                remedy="unset LISTEN_FDS and LISTEN_PID, or have a service manager set them",
            )


def check_preserved(first: int, count: int) -> None:
    """Refuse when one of ``count`` descriptors that the caller hands over is not there.

    Raises:
        UsageError: the count is negative.
        LaunchError: it names the number of the descriptor, counted from ``first``.
    """
    if count < 0:
        raise UsageError(
            f"cannot preserve {count} descriptors",
            cause="the number is negative",
            remedy="give --preserve-fds the number of descriptors behind standard error",
        )
    for number in range(count):
        problem = _problem(first + number)
        if problem:
            raise LaunchError(
                f"unable to stat preserved-fd {number} (of {count})",
                cause=problem,
                remedy="open it before calling, or lower --preserve-fds",
            )


def _problem(fd: int) -> str:
    """Return why a descriptor is not one that was handed to us, and nothing when it is."""
    try:
        # What we have opened ourselves is close-on-exec, and what came through an exec is not.
        return "" if os.get_inheritable(fd) else f"descriptor {fd} was not handed to us"
    except OSError as error:
        return f"descriptor {fd}: {reason(error)}"
