"""What trials work in: a child that is thrown away, and directories that are ours alone."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import TypeVar

from nestbox.errors import EnvironmentUnreadable, reason

_Value = TypeVar("_Value")


def in_child(trial: Callable[[], _Value]) -> _Value:
    """Return a trial's outcome. Raises EnvironmentUnreadable when no child can be made."""
    try:
        return trial()
    except OSError as error:
        raise EnvironmentUnreadable(
            "cannot try in a child process what this environment allows",
            cause=f"clone(2) answered: {reason(error)}",
            remedy="let this process make another one: check the limits on processes",
        ) from error


def make_private(directory: str) -> None:
    """Make a directory and those above it that are missing, for us alone.

    Raises:
        OSError: it cannot be made, or is one that others could prepare for us (EACCES).
    """
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        facts = os.stat(directory)
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            raise PermissionError(errno.EACCES, "it belongs to others", directory) from None
    except FileNotFoundError:
        _make_with_parents(directory)


def _make_with_parents(directory: str) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(directory, 0o700)
        except FileNotFoundError:
            _make_with_parents(os.path.dirname(directory))
            os.mkdir(directory, 0o700)
