"""``--rootfs host|DIR[:ro|:overlay|:fuse|:copy]``. Pure: text in, value out."""

from __future__ import annotations

import os
from typing import Final

from nestbox.errors import UsageError
from nestbox.policy.request import RootKind, RootMode, RootRequest

HOST: Final = "host"
_MODES: Final = {**{mode.value: mode for mode in RootMode if mode}, "rw": RootMode.DIRECT}


def parse_rootfs(text: str, directory: str) -> RootRequest:
    """Return the root that is asked for; a relative path begins at ``directory``.

    A word behind the last colon is the mode, so that a directory whose name has a colon is written
    with one: ``./a:b:rw``. A directory named host is written ``./host``.

    Raises:
        UsageError: nothing is named, or the word behind the colon is no mode.
    """
    path, separator, word = text.rpartition(":")
    if separator and "/" not in word:
        mode = _mode(text, word)
    else:
        path, mode = text, RootMode.DIRECT
    if not path:
        raise UsageError(
            f"--rootfs {text}",
            cause="it names no directory",
            remedy="write --rootfs DIR, or --rootfs host for the present root",
        )
    if path == HOST:
        return RootRequest(kind=RootKind.HOST, directory="/", mode=mode)
    return RootRequest(kind=RootKind.DIRECTORY, directory=absolute(path, directory), mode=mode)


def absolute(path: str, directory: str) -> str:
    """Return a path as an absolute one; a relative one begins at ``directory``."""
    return os.path.normpath(os.path.join(directory, path)) if path[:1] != "/" else path


def _mode(text: str, word: str) -> RootMode:
    mode = _MODES.get(word)
    if mode is None:
        raise UsageError(
            f"--rootfs {text}",
            cause=f"{word!r} is no mode of a root",
            remedy="use :ro, :rw, :overlay, :fuse or :copy; a name with a colon needs one of them "
            "behind it",
        )
    return mode
