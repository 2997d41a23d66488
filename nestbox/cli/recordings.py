"""Recorded environments as files: what `nestbox doctor --record` made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError, reason

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment

_LIMIT: Final = 32 << 20  # bytes
_REMEDY: Final = "record one: nestbox doctor --record FILE"


def read_environment(path: str, directory: str) -> OuterEnvironment:
    """Return the recorded environment in a file; a relative path begins at ``directory``.

    Raises:
        UsageError: it cannot be read, or is no recording.
    """
    from nestbox.outer.recording import load

    what = f"cannot read the recording of --environment {path}"
    try:
        with open(os.path.join(directory, path), "rb") as file:
            data = file.read(_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise UsageError(
            what, cause=f"it cannot be read: {reason(error)}", remedy=_REMEDY
        ) from None
    if len(data) > _LIMIT:
        cause = f"it is larger than {_LIMIT >> 20} MiB, so it is no recording"
        raise UsageError(what, cause=cause, remedy=_REMEDY)
    return load(data)
