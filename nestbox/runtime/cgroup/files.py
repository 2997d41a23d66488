"""The files of a cgroup, and what a location is for those who only act on one.

Loads nothing, as the commands that engines call most stand on it.
"""

from __future__ import annotations

import errno
import os
import stat

from nestbox.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Located(Protocol):
        """A CgroupLocation, or anything with these of its fields."""

        @property
        def version(self) -> int: ...

        @property
        def directories(self) -> dict[str, str]: ...

        @property
        def mounts(self) -> dict[str, str]: ...

        @property
        def made(self) -> tuple[str, ...]: ...

        @property
        def unit(self) -> str | None: ...

        @property
        def rootless(self) -> bool: ...

        @property
        def named(self) -> bool: ...


_CHUNK_BYTES = 1 << 16
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a state may name a pipe
_WRITING = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def read(directory: str, name: str) -> str:
    """Return the text of a file of a cgroup, without the space around it. Raises OSError."""
    return _read(os.open(f"{directory}/{name}", _READING))


def read_at(directory: int, name: str) -> str:
    """As ``read``, in a directory that is open."""
    return _read(os.open(name, _READING, dir_fd=directory))


def _read(fd: int) -> str:
    try:
        text = chunk = os.read(fd, _CHUNK_BYTES)
        while chunk:
            chunk = os.read(fd, _CHUNK_BYTES)
            text += chunk
    finally:
        os.close(fd)
    return text.decode(errors="surrogateescape").strip()


def write(directory: str, name: str, value: str) -> None:
    """Write a value to a file of a cgroup, by one write(2). Raises OSError."""
    _write(os.open(f"{directory}/{name}", _WRITING), value)


def write_at(directory: int, name: str, value: str) -> None:
    """As ``write``, in a directory that is open."""
    _write(os.open(name, _WRITING, dir_fd=directory), value)


def _write(fd: int, value: str) -> None:
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        # Who does not wait gets a limit on memory without the reclaim that makes it hold.
        os.set_blocking(fd, True)
        os.write(fd, value.encode(errors="surrogateescape"))
    finally:
        os.close(fd)


def value_of(text: str, key: str) -> int:
    """Return the number after a key in a file of lines ``key number``; 0 without the key."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


# What the kernel means by them in a cgroup of version 2. Source: cgroup-v2.rst.
_WORDS = {
    errno.EAGAIN: "cgroup.max.descendants or cgroup.max.depth of a cgroup above leaves no room",
    errno.EBUSY: "processes and controllers for the cgroups below do not go together",
    errno.ENODEV: "it vanished meanwhile",
    errno.ENOENT: "it vanished meanwhile",
    errno.EOPNOTSUPP: "it is threaded, or of an invalid type",
}


def why(error: OSError) -> str:
    """Return why a cgroup could not be made, changed or entered, in words that lead on."""
    return _WORDS.get(error.errno or 0) or reason(error)


class Kept:
    """A CgroupLocation as the container's state keeps it, for those who only act on it."""

    __slots__ = ("directories", "made", "mounts", "named", "rootless", "slice", "unit", "version")

    def __init__(self, document: dict[str, Any]) -> None:
        self.version: int = document["version"]
        self.directories: dict[str, str] = document.get("directories", {})
        self.mounts: dict[str, str] = document.get("mounts", {})
        self.made: tuple[str, ...] = tuple(document.get("made", ()))
        self.unit: str | None = document.get("unit")
        self.slice: str | None = document.get("slice")
        self.rootless: bool = document.get("rootless", False)
        self.named: bool = document.get("named", False)
