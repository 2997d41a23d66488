"""Records on disk: beside the state while a container lives, among the last hundred after it."""

from __future__ import annotations

import contextlib
import os

import msgspec

from nestbox.errors import StateError, reason
from nestbox.runtime import finished, lossless
from nestbox.runtime.directories import write_atomically
from nestbox.runtime.record import SCHEMA, Record

_FILE = "record.json"
_MAXIMUM_BYTES = 64 << 20


def record_json(record: Record) -> bytes:
    """Return the record as one line of JSON, without the newline."""
    return lossless.encode(record)


def keep_running(root: str, record: Record) -> None:
    """Write the record of a container that lives, beside its state. Raises StateError."""
    write_atomically(os.path.join(root, record.id, _FILE), record_json(record))


def keep_finished(root: str, record: Record) -> None:
    """Write the record of a container that is gone, and forget the oldest ones.

    Raises:
        StateError: it cannot be written.
    """
    try:
        finished.make_directory(root)
    except OSError as error:
        raise StateError(
            f"cannot keep the record in {os.path.join(root, finished.NAME)!r}",
            cause=reason(error),
            remedy="choose a directory that can be written with --root or NESTBOX_ROOT",
        ) from error
    write_atomically(finished.file_of(root, record.id), record_json(record))
    finished.forget_oldest(root)


def list_records(root: str) -> tuple[str, ...]:
    """Return the ids of all containers that have a record, the newest last."""
    found: list[tuple[float, str]] = []
    for directory, suffix in ((root, f"/{_FILE}"), (os.path.join(root, finished.NAME), "")):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(directory):
                with contextlib.suppress(OSError):
                    modified = os.lstat(os.path.join(directory, name + suffix)).st_mtime
                    found.append((modified, name.removesuffix(".json") if not suffix else name))
    return tuple(name for _, name in sorted(found))


def load_record(root: str, container: str) -> Record:
    """Return the record of a container, living or finished.

    Raises:
        StateError: there is none of that id, or it cannot be read.
        UsageError: the id is no valid one.
    """
    from nestbox.policy.validation import check_name

    check_name(container)
    for path in (
        os.path.join(root, container, _FILE),
        finished.file_of(root, container),
    ):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _read(path)
    raise StateError(
        f'no record of a container "{container}"',
        cause=f"neither a living nor one of the last "
        f"{finished.KEPT} finished ones in {root!r} has that id",
        remedy="run `nestbox explain` for a list",
    )


def _read(path: str) -> Record:
    try:
        with open(path, "rb") as file:
            record = lossless.decode(file.read(_MAXIMUM_BYTES), Record)
    except msgspec.MsgspecError as error:
        raise _damaged(path, str(error).lower()) from error
    except PermissionError as error:
        raise _damaged(path, "permission denied") from error
    if record.schema != SCHEMA:
        raise _damaged(path, f"it has schema {record.schema}, this nestbox reads {SCHEMA}")
    return record


def _damaged(path: str, cause: str) -> StateError:
    return StateError(
        f"cannot read the record {path!r}",
        cause=cause,
        remedy="remove the file, or read it with the version of nestbox that wrote it",
    )
