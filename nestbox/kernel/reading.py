"""Reading the kernel's small files, by descriptor and with a limit."""

from __future__ import annotations

import os

from nestbox.kernel import syscalls
from nestbox.kernel.constants import PROC_SUPER_MAGIC

LIMIT_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
# Without waiting for a writer, where somebody has put a FIFO in the place of the kernel's file.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class NotProcfs(OSError):
    """A path below /proc is not on the kernel's proc file system."""


def read_descriptor(fd: int, limit: int = LIMIT_BYTES) -> bytes:
    """Return what is left to read, at most ``limit`` bytes; raises OSError EFBIG beyond it."""
    chunk = os.read(fd, min(_CHUNK_BYTES, limit + 1))
    text = chunk
    while chunk and len(text) <= limit:
        chunk = os.read(fd, min(_CHUNK_BYTES, limit + 1 - len(text)))
        text += chunk
    if len(text) > limit:
        import errno

        raise OSError(errno.EFBIG, f"larger than {limit} bytes")
    return text


def read_file(path: str, limit: int = LIMIT_BYTES) -> bytes:
    """Return the bytes of a file of the kernel. Raises OSError."""
    fd = os.open(path, _FLAGS)
    try:
        return read_descriptor(fd, limit)
    finally:
        os.close(fd)


def read_proc(path: str, limit: int = LIMIT_BYTES) -> bytes:
    """Return the bytes of a file that must be the kernel's own. Raises NotProcfs, OSError.

    The check is made on the descriptor that is then read, so no mount can come in between.
    """
    fd = os.open(path, _FLAGS)
    try:
        if syscalls.fstatfs_type(fd) != PROC_SUPER_MAGIC:
            raise NotProcfs(f"{path} is not on a proc file system")
        return read_descriptor(fd, limit)
    finally:
        os.close(fd)
