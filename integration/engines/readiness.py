"""A daemon that is started by a test, and that says itself when it is ready.

Source: sd_notify(3).
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Sequence

from integration.engines.enclosure import SECONDS, Enclosure


class Daemon:
    """One daemon in an enclosure: started when this is made, ended by `close`."""

    def __init__(
        self, enclosure: Enclosure, name: str, words: Sequence[str], around: Sequence[str] = ()
    ) -> None:
        """Start ``words``; ``around`` is a command that runs them, as capsh with rights dropped."""
        self.enclosure = enclosure
        self.name = name
        self.log = enclosure.place / f"{name}.log"
        ready = enclosure.place / f"{name}.ready"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(ready))
            listener.settimeout(0.25)
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    # It must not outlive the tests, however these end.
                    ["setpriv", "--pdeathsig=TERM", *enclosure.enter(*around, *words)],
                    env=enclosure.environment(NOTIFY_SOCKET=str(ready)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            self._wait(listener)
        ready.unlink()

    def _wait(self, listener: socket.socket) -> None:
        for _ in range(SECONDS * 4):
            try:
                if b"READY=1" in listener.recv(4096):
                    return
            except TimeoutError:
                assert self._process.poll() is None, self.log.read_text()
        raise AssertionError(f"{self.name} did not start: {self.log.read_text()}")

    def logged(self) -> str:
        """Return what the daemon has logged."""
        return self.log.read_text()

    def close(self) -> None:
        """End the daemon; one that does not end is a failure, and is killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
