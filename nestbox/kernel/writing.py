"""Writing the kernel's files: one value by one write(2), as their parsers want it."""

from __future__ import annotations

import os


def write_file(path: str, text: str) -> None:
    """Write a value to a file of /proc, /sys or a cgroup, which must exist. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
