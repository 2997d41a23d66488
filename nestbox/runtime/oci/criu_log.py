"""Lines of CRIU's log that tell what it stumbled on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from nestbox.errors import LaunchError, reason

if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import Log

_ERROR: Final = "Error"
_UNFIT: Final = "when initializing kerndat"  # nothing was tried yet
_LINES_BEFORE: Final = 5
_MOST_LINES: Final = 60
_MOST_BYTES: Final = 64 << 20


def with_log(error: LaunchError, path: str, log: Log) -> LaunchError:
    """Quote the errors in a log of CRIU as warnings; return the error with the last as its cause.

    An error that is no failure of CRIU itself comes back as it is.
    """
    if not error.what.startswith("criu failed"):
        return error
    try:
        with open(path, "rb") as file:
            lines = around_errors(file.read(_MOST_BYTES).decode(errors="replace"))
    except OSError as unreadable:
        log.warning(f"cannot read the log of CRIU, {path!r}: {reason(unreadable)}")
        return error
    path = os.path.abspath(path)
    if not lines:
        return error
    for line in (f"--- Quoting {path!r}", *lines[-_MOST_LINES:], "---"):
        log.warning(line)
    # A line has its number, a time, the word Error, the place in the source, and the message.
    cause = lines[-1].partition(_ERROR)[2].partition("): ")[2] or error.cause
    if _UNFIT in cause:
        cause = f"this CRIU does not work on this kernel: {cause}"
        return LaunchError(error.what, cause=cause, remedy="install a newer CRIU, or see --criu")
    return LaunchError(error.what, cause=cause, remedy=f"see {path}")


def around_errors(text: str) -> list[str]:
    """Return the lines to quote with their numbers, and dots where some are left out."""
    lines = text.splitlines()
    wanted = {
        before
        for number, line in enumerate(lines)
        if _ERROR in line
        for before in range(max(0, number - _LINES_BEFORE), number + 1)
    }
    found: list[str] = []
    for number in sorted(wanted):
        if found and number - 1 not in wanted:
            found.append("...")
        found.append(f"{number + 1}:{lines[number]}")
    return found
