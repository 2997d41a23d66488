"""The files of a cgroup, and what a location is for those who only act on one.

Loads nothing, as the commands that engines call most stand on it.
"""

from __future__ import annotations

import os

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
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_WRITING = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


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
