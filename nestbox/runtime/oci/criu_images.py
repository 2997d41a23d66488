"""Directories of images, and the file in them that a runtime keeps beside those of CRIU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from nestbox import json_text
from nestbox.errors import LaunchError, UsageError, reason

if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import CriuOptions

DESCRIPTORS: Final = "descriptors.json"  # what the standard streams were, as runc keeps it
_STREAMS: Final = 3
_MOST_BYTES: Final = 1 << 16


def write_descriptors(directory: str, pid: int) -> None:
    """Keep what a process has as standard streams, for a restore to put its own in their place.

    Raises:
        LaunchError: it cannot be kept.
    """
    try:
        names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in _open_streams(pid)]
        path, flags = os.path.join(directory, DESCRIPTORS), os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(path, flags | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
            file.write(json_text.encode(names))
    except OSError as error:
        raise LaunchError(
            f"cannot write {DESCRIPTORS} to {directory!r}",
            cause=reason(error),
            remedy="choose a directory for the images that can be written",
        ) from error


def _open_streams(pid: int) -> Iterator[int]:
    """Yield 0, 1 and 2 as far as all before are open: the place in the list is the number."""
    for number in range(_STREAMS):
        if not os.path.lexists(f"/proc/{pid}/fd/{number}"):
            return
        yield number


def read_descriptors(directory: str) -> list[str]:
    """Return what the standard streams were. Raises LaunchError."""
    try:
        with open(os.path.join(directory, DESCRIPTORS), "rb") as file:
            names = json_text.decode(file.read(_MOST_BYTES).decode())
        return [str(name) for name in names]
    except (OSError, ValueError, TypeError) as error:
        cause = str(error) if isinstance(error, TypeError) else reason(error)
        raise LaunchError(
            f"cannot read {DESCRIPTORS} of the images in {directory!r}",
            cause=cause,
            remedy="name the directory of a checkpoint with --image-path",
        ) from error


class Directories:
    """Open directories of one call: ``members`` are its options, ``log`` where CRIU logs."""

    def __init__(self, images: str, log: str, members: dict[str, int]) -> None:
        self.images = images
        self.log = log
        self.members = members


@contextlib.contextmanager
def image_directories(criu: CriuOptions) -> Iterator[Directories]:
    """Give the directories of the images and of the log, which are made when they are missing.

    Raises:
        UsageError: --parent-path is no directory below the images'.
        LaunchError: one cannot be made.
    """
    with contextlib.ExitStack() as stack:
        images = _open_directory(criu.image_path, stack)
        if criu.parent_path:
            _check_parent(criu.image_path, criu.parent_path)
        members = {"images_dir_fd": images}
        if criu.work_path:
            members["work_dir_fd"] = _open_directory(criu.work_path, stack)
        log = criu.work_path or criu.image_path
        yield Directories(criu.image_path, log, members)


def _open_directory(path: str, stack: contextlib.ExitStack) -> int:
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(
            f"cannot use {path!r} for images or logs of CRIU",
            cause=reason(error),
            remedy="choose another one with --image-path and --work-path",
        ) from error
    stack.callback(os.close, fd)
    return fd


def _check_parent(images: str, parent: str) -> None:
    cause = ""
    if os.path.isabs(parent):
        cause = "--parent-path must be relative"
    elif not os.path.isdir(os.path.join(images, parent)):
        cause = f"{os.path.join(images, parent)!r} is no directory"
    if cause:
        raise UsageError(
            "invalid --parent-path",
            cause=cause,
            remedy="give the path from the images to those of the pre-dump",
        )
