"""Runs one program of a suite: with a time limit, and with nothing left of it afterwards.

The suites start containers that outlive the command that made them. Their parent is gone by then,
so this process becomes the one that adopts them (PR_SET_CHILD_SUBREAPER, prctl(2)): it can reap
them, as several tests expect of a parent, and end those that are left.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

_PR_SET_CHILD_SUBREAPER: Final = 36
_POLL_SECONDS: Final = 0.05
_PIECE: Final = 65536
_GRACE_SECONDS: Final = 10.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A program to run, with its limit in seconds.

    With `terminal` its standard streams are a terminal of its own, else standard input is empty.
    After `patience` seconds without a word from it, whatever runs `culprit` below it is ended and
    so is what it left behind, so that one call of a runtime that never returns, or a container that
    stays frozen, fails one test and not those after it.
    """

    command: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    culprit: Path
    seconds: float
    patience: float
    terminal: bool


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A program that has ended; `status` is None when the time limit ended it."""

    status: int | None
    output: str


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends.

    Raises:
        OSError: the kernel refused it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run(job: Job) -> Finished:
    """Return how the program ended, and all that it wrote; its descendants are ended with it."""
    master, slave = pty.openpty() if job.terminal else os.pipe()
    try:
        child = subprocess.Popen(
            job.command,
            cwd=job.cwd,
            env=job.env,
            stdin=slave if job.terminal else subprocess.DEVNULL,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal if job.terminal else None,  # noqa: PLW1509 one thread here
        )
        os.close(slave)
        status, output = _follow(job, child, master)
    finally:
        end_descendants()
        os.close(master)
    return Finished(status=status, output=output.decode(errors="replace").replace("\r\n", "\n"))


def end_descendants() -> None:
    """Kill what is left of the children, and of theirs, and reap it all."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while children := _children(os.getpid()):
        for pid in children:
            _thaw_and_kill(pid)
        _reap()
        if time.monotonic() > deadline:
            return  # one that the kernel does not let go of; the next run is not held up by it
        select.select([], [], [], _POLL_SECONDS)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _follow(job: Job, child: subprocess.Popen[bytes], source: int) -> tuple[int | None, bytes]:
    """Return the status and the output of `child`, reaping every orphan meanwhile."""
    output = bytearray()
    started = heard = time.monotonic()
    while True:
        ready, _, _ = select.select([source], [], [], _POLL_SECONDS)
        if ready and (piece := _read(source)):
            output += piece
            heard = time.monotonic()
        status = _reap(child.pid)
        if status is not None:
            child.returncode = status  # reaped here, not by Popen
            output += _rest(source)
            return status, bytes(output)
        if time.monotonic() - heard > job.patience:
            heard = time.monotonic()
            _end_what_hangs(job.culprit, but=child.pid)
        if time.monotonic() - started > job.seconds:
            child.returncode = -signal.SIGKILL
            return None, bytes(output)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _PIECE)
    except OSError:
        return b""  # EIO: nobody has the terminal open any more


def _rest(source: int) -> bytes:
    """Return what is still in the pipe; a container that holds it open is not waited for."""
    rest = bytearray()
    while select.select([source], [], [], 0)[0] and (piece := _read(source)):
        rest += piece
    return bytes(rest)


def _reap(wanted: int = 0) -> int | None:
    """Reap all children that have ended; return the exit status of `wanted` if it is one."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == wanted:
            found = os.waitstatus_to_exitcode(status)


def _end_what_hangs(culprit: Path, *, but: int) -> None:
    """Kill whatever runs the culprit, and what was adopted; the program itself, `but`, is not."""
    orphans = set(_children(os.getpid())) - {but}
    pending = _children(os.getpid())
    while pending:
        pid = pending.pop()
        pending += _children(pid)
        if pid in orphans or str(culprit) in _arguments(pid):
            _thaw_and_kill(pid)


def _arguments(pid: int) -> list[str]:
    """Return the arguments of a process; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    """Return the children of a process's first thread; none when it has ended."""
    try:
        listing = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listing.split()]


def _thaw_and_kill(pid: int) -> None:
    """Kill a process, also one in a frozen cgroup of version 1, which no signal reaches."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return  # gone already
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers == "freezer" and path != "/":
            _thaw(Path(f"/sys/fs/cgroup/freezer{path}/freezer.state"))


def _thaw(state: Path) -> None:
    try:
        state.write_text("THAWED")
    except OSError:
        return  # removed meanwhile, or mounted elsewhere: then nothing froze it
