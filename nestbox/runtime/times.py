"""The present time as text."""

from __future__ import annotations

import time


def now() -> str:
    """Return the time as RFC 3339 with nanoseconds, in UTC."""
    seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09}Z"
