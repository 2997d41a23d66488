"""Waiting for what an engine does in its own time: asked again until it is so, or a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from integration.engines import enclosure

Answer = TypeVar("Answer")
SECONDS = enclosure.SECONDS / 3
_PAUSE = 0.05  # between two questions to an engine, each of which starts a process


def wait_until(ask: Callable[[], Answer], what: str, seconds: float = SECONDS) -> Answer:
    """Return the first answer that is true."""
    end = time.monotonic() + seconds
    between = threading.Event()
    while not (answer := ask()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        between.wait(_PAUSE)
    return answer
