"""The benchmark's own directory, gone at the end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class StillMountedError(Exception):
    """A launcher left mounts in the scratch directory, so it was not removed."""


@contextlib.contextmanager
def directory(parent: str | None = None) -> Iterator[Path]:
    """Yield a new directory that is removed with all that is in it.

    Args:
        parent: where to make it, None for where temporary files go.

    Raises:
        StillMountedError: something is mounted in it; removing would reach through the mount.
    """
    path = Path(tempfile.mkdtemp(prefix="nestbox-bench-", dir=parent))
    try:
        yield path
    finally:
        _remove(path)


def mounts_below(path: Path, mountinfo: str) -> list[str]:
    """Return the mount points below path that the text of /proc/self/mountinfo names."""
    points = [line.split()[4] for line in mountinfo.splitlines()]
    return [point for point in points if Path(point).is_relative_to(path)]


def _remove(path: Path) -> None:
    mounts = mounts_below(path, Path("/proc/self/mountinfo").read_text())
    if mounts:
        raise StillMountedError(f"{', '.join(mounts)} is still mounted; {path} was not removed")
    shutil.rmtree(path)
