"""The stream of an `exec` with a terminal, as `kubectl exec -it` has it.

Source: the Kubernetes remote command protocol over WebSocket, v4.channel.k8s.io: the first byte of
a message is its channel.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import websocket

from integration.engines.enclosure import SECONDS, Enclosure

STDIN, STDOUT, STDERR, STATUS, RESIZE = range(5)


class Stream:
    """One stream: what is typed goes there, what is shown is read until a pattern."""

    def __init__(self, enclosure: Enclosure, url: str) -> None:
        port = urlsplit(url).port
        assert port is not None
        self._socket = enclosure.connect(port)
        self._socket.settimeout(SECONDS)
        self._stream = websocket.create_connection(
            url.replace("http:", "ws:", 1),
            socket=self._socket,
            subprotocols=["v4.channel.k8s.io"],
        )
        self._seen = ""
        self.status: dict[str, object] = {}

    def type(self, text: str) -> None:
        """Type text."""
        self._stream.send_binary(bytes([STDIN]) + text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the terminal."""
        size = json.dumps({"Height": rows, "Width": columns})
        self._stream.send_binary(bytes([RESIZE]) + size.encode())

    def read_until(self, pattern: str) -> None:
        """Read until the pattern is shown."""
        while not re.search(pattern, self._seen):
            self._read()
        self._seen = ""

    def end(self) -> dict[str, object]:
        """Return how the program ended, as the server tells it at the end of the stream."""
        while not self.status:
            self._read()
        return self.status

    def close(self) -> None:
        """End the connection."""
        self._stream.close()
        self._socket.close()

    def _read(self) -> None:
        message = self._stream.recv()
        assert isinstance(message, bytes)
        assert message, f"the stream ended after {self._seen!r}"
        if message[0] == STATUS:
            self.status = json.loads(message[1:])
        else:
            self._seen += message[1:].decode(errors="replace")
