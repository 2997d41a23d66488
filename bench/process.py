"""Runs of a program as a whole process: from the spawn to the reaping."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

# What each launcher gets: small and the same everywhere, so that none pays for the caller's.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
}


class LaunchFailedError(Exception):
    """A launch that did not end with status 0; its text says what ran and what it printed."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """One process that ended with status 0."""

    seconds: float  # from before the spawn until it was reaped
    stdout: str


def run(argv: Sequence[str], *, inputs: Mapping[int, str] | None = None) -> Finished:
    """Return how long argv took as a whole process, and what it wrote.

    The standard output and error go to memory, never to a terminal or a pipe that has to be read
    while the clock runs.

    Args:
        argv: an absolute path and the arguments.
        inputs: files to open for reading, by the descriptor that argv finds them at.

    Raises:
        LaunchFailedError: it could not be spawned, or its status is not 0.
    """
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, fd, path, os.O_RDONLY, 0)
        for fd, path in {0: os.devnull, **(inputs or {})}.items()
    ]
    out = os.memfd_create("stdout")
    err = os.memfd_create("stderr")
    try:
        seconds, status = _timed(
            argv, [*actions, (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
        )
        if status != 0:
            raise LaunchFailedError(_complaint(argv, status, _content(err) or _content(out)))
        return Finished(seconds=seconds, stdout=_content(out))
    finally:
        os.close(out)
        os.close(err)


def _timed(argv: Sequence[str], actions: Sequence[tuple[Any, ...]]) -> tuple[float, int]:
    """Return (seconds, exit status) of one process."""
    start = time.perf_counter()
    try:
        # A process group of its own: the interrupt key must not stop a launcher half way, it would
        # leave its container behind.
        pid = os.posix_spawn(argv[0], tuple(argv), ENVIRONMENT, file_actions=actions, setpgroup=0)
    except OSError as error:
        raise LaunchFailedError(f"{argv[0]} cannot be started: {error.strerror}") from error
    try:
        _, wait_status, _ = os.wait4(pid, 0)
    except KeyboardInterrupt:
        os.waitpid(pid, 0)
        raise
    return time.perf_counter() - start, os.waitstatus_to_exitcode(wait_status)


def _content(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")


def _complaint(argv: Sequence[str], status: int, text: str) -> str:
    return f"`{' '.join(argv)}` ended with status {status}: {text.strip() or 'no output'}"
