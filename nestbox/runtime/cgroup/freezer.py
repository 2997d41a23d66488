"""Stopping all processes of a container at once, and letting them go on."""

from __future__ import annotations

import errno
import os
import time

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.files import read, read_at, value_of, write, write_at
from nestbox.runtime.cgroup.walk import visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.cgroup.files import Located

_STATE = "freezer.state"
_FROZEN, _THAWED, _FREEZING = "FROZEN", "THAWED", "FREEZING"
_GONE = frozenset({errno.ENOENT, errno.ENODEV})
_WAIT_SECONDS = 10.0

# Version 1 can miss processes that are being forked, so freezing is tried until it holds. Thawing
# in between lets forks end, and the short pause helps a very slow machine.
_TRIES = 1000
_THAW_EVERY, _THAW_SECONDS = 50, 0.01
_PAUSE_EVERY, _PAUSE_SECONDS = 25, 0.00001


def freeze(location: Located) -> None:
    """Stop all processes of the container, and return when they have stopped.

    Raises:
        LaunchError: there is no freezer, or it could not stop them; then they go on.
    """
    directory = _freezer(location)
    if directory is None:
        raise _failed("freeze", "cannot toggle freezer: cgroups not configured for container")
    try:
        if location.version == 2:
            _freeze_v2(directory)
        else:
            _freeze_v1(directory)
    except BaseException as error:
        # One that is frozen halfway can neither work nor be ended.
        try:
            _thaw(location, directory)
        except OSError:
            pass  # the first error is the one that tells something
        if isinstance(error, OSError):
            raise _failed("freeze", reason(error)) from error
        raise


def thaw(location: Located) -> None:
    """Let all processes of the container go on. Raises LaunchError."""
    directory = _freezer(location)
    if directory is None:
        raise _failed("thaw", "cannot toggle freezer: cgroups not configured for container")
    try:
        _thaw(location, directory)
    except OSError as error:
        raise _failed("thaw", reason(error)) from error


def _thaw(location: Located, directory: str) -> None:
    if location.version == 2:
        write(directory, "cgroup.freeze", "0")
    else:
        write(directory, _STATE, _THAWED)


def thaw_below(location: Located) -> None:
    """Let go on whatever is frozen in the container's cgroup or below it, on version 1.

    A container that may make cgroups can freeze itself in one of its own, and what is frozen does
    not die there. On version 2 it does. Raises LaunchError.
    """
    directory = _freezer(location)
    if directory is None or location.version != 1:
        return
    try:
        visit(directory, enter=_thaw_one)
    except OSError as error:
        if error.errno not in _GONE:
            raise _failed("thaw", reason(error)) from error


def _thaw_one(directory: int) -> None:
    try:
        if read_at(directory, _STATE) != _THAWED:
            write_at(directory, _STATE, _THAWED)
    except OSError as error:
        if error.errno not in _GONE:
            raise


def is_frozen(location: Located) -> bool:
    """Return whether the container itself is frozen, not only a cgroup above it.

    Without a freezer, or without the cgroup, it is not. Raises LaunchError.
    """
    directory = _freezer(location)
    if directory is None:
        return False
    try:
        if location.version == 2:
            return read(directory, "cgroup.freeze") == "1"
        return _is_frozen_v1(directory)
    except OSError as error:
        if error.errno in _GONE:
            return False
        raise _failed("ask for the state of", reason(error)) from error


def _freezer(location: Located) -> str | None:
    return location.directories.get(UNIFIED if location.version == 2 else "freezer")


def _is_frozen_v1(directory: str) -> bool:
    deadline = time.monotonic() + _WAIT_SECONDS
    while (state := read(directory, _STATE)) == _FREEZING and time.monotonic() < deadline:
        time.sleep(0.001)
    if state == _THAWED:
        return False
    try:
        return read(directory, "freezer.self_freezing") == "1"
    except FileNotFoundError:
        return True  # a kernel that does not tell why


def _freeze_v1(directory: str) -> None:
    for attempt in range(1, _TRIES + 1):
        if attempt % _THAW_EVERY == 0:
            write(directory, _STATE, _THAWED)
            time.sleep(_THAW_SECONDS)
        write(directory, _STATE, _FROZEN)
        if attempt % _PAUSE_EVERY == 0:
            time.sleep(_PAUSE_SECONDS)
        if read(directory, _STATE) == _FROZEN:
            return
    raise _failed("freeze", "unable to freeze: new processes appear all the time")


def _freeze_v2(directory: str) -> None:
    import select

    write(directory, "cgroup.freeze", "1")
    fd = os.open(f"{directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        deadline = time.monotonic() + _WAIT_SECONDS
        while not value_of(os.pread(fd, 4096, 0).decode(), "frozen"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise _failed("freeze", f"it was not frozen after {_WAIT_SECONDS:g} seconds")
            poll.poll(left * 1000)
    finally:
        os.close(fd)


def _failed(what: str, cause: str) -> LaunchError:
    return LaunchError(
        f"cannot {what} the container",
        cause=cause,
        remedy="see whether its cgroup has a freezer: `nestbox doctor` lists the controllers",
    )
