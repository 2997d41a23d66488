"""A person at a terminal: an engine's client runs on the one end, the test is the other."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

from integration.engines.enclosure import SECONDS


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        rows: int = 33,
        columns: int = 101,
    ) -> None:
        self._master, slave = pty.openpty()
        self._seen = b""
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            # It becomes the session's terminal, as it is for a person.
            ["setsid", "--ctty", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environment),
        )
        os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size, of which the foreground process is told by SIGWINCH."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        """Type text."""
        os.write(self._master, text.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        """Return the match of the pattern, after reading until it is shown."""
        while not (found := re.search(pattern, self._seen.decode(errors="replace"))):
            assert self._read(SECONDS), f"{pattern!r} is not in {self._seen!r}"
        self._seen = b""
        return found

    def end(self) -> int:
        """Return the exit code of the command, after reading all that it shows."""
        while self._read(SECONDS):
            continue
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """End the command, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        """Read what is there; return whether there was anything before the end."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            more = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end open
            return False
        self._seen += more
        return bool(more)
