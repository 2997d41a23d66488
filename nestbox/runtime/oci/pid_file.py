"""The file in which a caller finds the pid: it appears as a whole."""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, reason


def write_pid_file(path: str, pid: int) -> None:
    """Write a pid in digits, without a newline, by a rename. Raises LaunchError."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.urandom(4).hex()}")
    try:
        fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise LaunchError(
            f"cannot write the pid file {path!r}",
            cause=reason(error),
            remedy="name a file in a directory that can be written",
        ) from error
