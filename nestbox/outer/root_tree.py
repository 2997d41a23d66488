"""The directories of a root that has to be made of parts, and how large they are.

An overlay has no place over a directory with locked mounts below it, nor over a second overlay.
Then the root is made of what lies beside the mounts, or beside what is too large to be copied.
Nothing is opened but directories, no link is followed, and no other mount is entered.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

import msgspec

from nestbox.outer.facts import TreeDirectory, TreeEntry

_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own


class CountLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How far a tree is counted."""

    size: int  # bytes
    entries: int


def observe_tree(
    root: str,
    paths: Iterable[str],
    measured: Iterable[str],
    limit: CountLimit,
    *,
    left_out: Iterable[str] = (),
) -> tuple[TreeDirectory, ...]:
    """Return these directories of a root and those above them, outer ones first.

    In those that are ``measured`` each directory is counted up to the limit; what is larger and
    lies directly below / is among the result itself, but for what is ``left_out``. A path that is
    no directory is passed over.
    """
    measured = frozenset(path for path in measured if _is_directory(root, path))
    known = [path for path in paths if _is_directory(root, path)]
    listed = {above for path in (*known, *measured) for above in _with_parents(path)}
    left_out = frozenset(left_out)
    found = {path: _read(root, path, listed, limit, path in measured) for path in sorted(listed)}
    for entry in found["/"].entries or () if "/" in measured else ():
        path = f"/{entry.name}"
        large = entry.kind == "directory" and entry.size is None
        if large and path not in found and path not in left_out:
            found[path] = _read(root, path, listed, limit, measure=True)
    return tuple(sorted(found.values(), key=lambda one: (len(parts_of(one.path)), one.path)))


def _is_directory(root: str, path: str) -> bool:
    """Return whether it is one and all above it are: a link would lead out of the root."""
    top = root.rstrip("/")
    try:
        return all(stat.S_ISDIR(os.lstat(top + one).st_mode) for one in _with_parents(path))
    except OSError:
        return False


def measure(directory: str, limit: CountLimit) -> int | None:
    """Return the bytes of all that is below a directory on its own mount; None above the limit."""
    total = 0
    try:
        device = os.lstat(directory).st_dev
    except OSError:
        return None
    for count, size in enumerate(_sizes(directory, device)):
        total += size
        if count >= limit.entries or total > limit.size:
            return None
    return total


def parts_of(path: str) -> list[str]:
    """Return the names of which a path consists."""
    return [name for name in path.split("/") if name]


def _with_parents(path: str) -> Iterator[str]:
    yield "/"
    names = parts_of(path)
    for count in range(len(names)):
        yield "/" + "/".join(names[: count + 1])


def _read(
    root: str, path: str, listed: set[str], limit: CountLimit, measure: bool
) -> TreeDirectory:
    directory = root.rstrip("/") + path
    try:
        device = os.lstat(directory).st_dev
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return TreeDirectory(path=path, entries=None)
    prefix = path.rstrip("/")
    return TreeDirectory(
        path=path,
        entries=tuple(
            _entry(
                entry, device, limit if measure and f"{prefix}/{entry.name}" not in listed else None
            )
            for entry in entries
        ),
    )


def _entry(entry: os.DirEntry[str], device: int, limit: CountLimit | None) -> TreeEntry:
    try:
        info = entry.stat(follow_symlinks=False)
    except OSError:
        return TreeEntry(name=entry.name, kind="other")
    if stat.S_ISDIR(info.st_mode):
        size = measure(entry.path, limit) if limit and info.st_dev == device else None
        return TreeEntry(name=entry.name, kind="directory", size=size)
    if stat.S_ISLNK(info.st_mode):
        return TreeEntry(name=entry.name, kind="link")
    if stat.S_ISREG(info.st_mode):
        return TreeEntry(name=entry.name, kind="file", size=_bytes(info))
    return TreeEntry(name=entry.name, kind="other")


def _bytes(info: os.stat_result) -> int:
    """Return what a copy would take: holes take nothing."""
    return min(info.st_size, info.st_blocks * _BLOCK_BYTES)


def _sizes(directory: str, device: int) -> Iterator[int]:
    """Yield the bytes of each thing below a directory on one device; what is closed has none."""
    waiting = [directory]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = list(listing)
        except OSError:
            continue
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                # Of a file, overlayfs may tell the device of the layer that it is in.
                if info.st_dev != device:
                    continue
                waiting.append(entry.path)
            yield _bytes(info)
