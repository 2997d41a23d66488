"""`--provenance FILE|-`: the record of a launch as one line of JSON, also when the launch fails."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.cli import output
from nestbox.errors import NestboxError, StateError, UsageError, reason
from nestbox.runtime.history import load_record, record_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.policy.request import RunRequest
    from nestbox.runtime.context import Context
    from nestbox.runtime.record import Record

STANDARD_OUTPUT: Final = "-"


def run_recorded(
    request: RunRequest,
    context: Context,
    target: str,
    launch: Callable[[RunRequest], tuple[int, Record]],
) -> int:
    """Launch, append the record to the target, and return the exit code.

    The target is opened first, so that nothing is launched when it cannot be written. A launch
    that is refused has no record: nothing came of it.

    Raises:
        NestboxError: the target cannot be written, or the launch failed.
    """
    # A name of our own finds the record of a launch that failed.
    name = request.name or os.urandom(6).hex()
    before = _created(context, name)
    fd = _open(target, context.directory)
    try:
        code, record = launch(msgspec.structs.replace(request, name=name))
    except NestboxError:
        if _created(context, name) != before:
            _append(fd, load_record(context.root, name), target)
        raise
    else:
        _append(fd, record, target)
        return code
    finally:
        if fd is not None:
            os.close(fd)


def _created(context: Context, name: str) -> str | None:
    """Return when the container of this name was created that is on record; None if none is."""
    try:
        return load_record(context.root, name).created
    except (StateError, UsageError):
        return None


def _open(target: str, directory: str) -> int | None:
    """Return a descriptor to append to, None for standard output."""
    if target == STANDARD_OUTPUT:
        return None
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        return os.open(os.path.join(directory, target), flags, 0o600)
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from None


def _append(fd: int | None, record: Record, target: str) -> None:
    line = record_json(record) + b"\n"
    if fd is None:
        output.say_bytes(line)
        return
    try:
        while line:
            line = line[os.write(fd, line) :]
    except OSError as error:
        raise _unwritable(target, error) from None


def _unwritable(target: str, error: OSError | ValueError) -> UsageError:
    return UsageError(
        f"--provenance {target}",
        cause=f"the record cannot be written: {reason(error)}",
        remedy="name a file that can be written, or - for standard output",
    )
