"""A directory for a suite's files, and its removal with whatever was mounted below it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StillMountedError(Exception):
    """Something is still mounted in the directory, so that it must not be removed."""


@contextmanager
def directory() -> Iterator[Path]:
    """Yield a new directory that is removed afterwards.

    Raises:
        StillMountedError: a mount below it could not be undone.
    """
    # Short, for the paths of sockets end after 107 bytes (unix(7)), and open to container users.
    work = Path(tempfile.mkdtemp(prefix="cf-", dir="/var/tmp"))
    work.chmod(0o755)
    try:
        yield work
    finally:
        for place in reversed(_mounted_below(work)):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        if left := _mounted_below(work):
            raise StillMountedError(f"still mounted: {', '.join(left)}")
        shutil.rmtree(work)


def _mounted_below(work: Path) -> list[str]:
    """Return what is mounted there, in the order of mounting (proc_pid_mountinfo(5))."""
    places = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [place for place in places if place.startswith(f"{work}/")]
