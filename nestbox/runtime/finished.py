"""The directory in which the records of the last hundred finished containers are."""

from __future__ import annotations

import os

from nestbox.runtime.directories import NOT_A_CONTAINER

NAME = f"{NOT_A_CONTAINER}records"
KEPT = 100
_SLACK = 20  # so that not each end has to look for the oldest


def make_directory(root: str) -> str:
    """Return the directory below a root, made where it is absent. Raises OSError."""
    directory = os.path.join(root, NAME)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return directory


def file_of(root: str, container: str) -> str:
    """Return the path of the record of a finished container."""
    return os.path.join(root, NAME, f"{container}.json")


def forget_oldest(root: str) -> None:
    """Remove all but the newest hundred. Raises OSError."""
    directory = os.path.join(root, NAME)
    names = os.listdir(directory)
    if len(names) <= KEPT + _SLACK:
        return

    def age(name: str) -> float:
        try:
            return os.lstat(os.path.join(directory, name)).st_mtime
        except FileNotFoundError:  # another nestbox is forgetting too
            return 0.0

    for name in sorted(names, key=age)[: len(names) - KEPT]:
        try:
            os.unlink(os.path.join(directory, name))
        except FileNotFoundError:
            pass


def move_here(record: str, root: str, container: str) -> None:
    """Keep the record of a container that goes; that it cannot be kept is no failure."""
    try:
        make_directory(root)
        os.rename(record, file_of(root, container))
        forget_oldest(root)
    except OSError:
        return
