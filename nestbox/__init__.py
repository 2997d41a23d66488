"""nestbox: containers where something is missing, with every capability accounted for.

    >>> import nestbox
    >>> done = nestbox.run(["make", "test"], rootfs="host", profile="minimal")
    >>> done.exit_code, done.record.capability("CAP_SYS_BOOT").cause

Nothing here changes the process that calls it, so it works from threads.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes 6 ms to load, and no command needs it for this
if TYPE_CHECKING:
    from typing import Any

    from nestbox.api import Done, run
    from nestbox.errors import NestboxError

__all__ = ["Done", "NestboxError", "run"]

_HOMES = {"Done": "nestbox.api", "run": "nestbox.api", "NestboxError": "nestbox.errors"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: a command imports this package for one part."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
