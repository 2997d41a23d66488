"""The root file system that every launcher gets: one static busybox under several names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

APPLETS: Final = ("busybox", "cat", "readlink", "sh", "sleep", "true")
DIRECTORIES: Final = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp")
_ELF_MAGIC: Final = b"\x7fELF"


class NoBusyboxError(Exception):
    """There is no static busybox to build the root from."""


def build(directory: Path) -> Path:
    """Return the root that was built in directory, which must not exist.

    Raises:
        NoBusyboxError: no busybox on PATH, or one that needs shared objects.
    """
    busybox = _static_busybox()
    for name in DIRECTORIES:
        (directory / name).mkdir(parents=True)
    first = directory / "bin" / APPLETS[0]
    shutil.copyfile(busybox, first)
    first.chmod(0o755)
    for name in APPLETS[1:]:
        os.link(first, directory / "bin" / name)
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (directory / "etc" / "group").write_text("root:x:0:\n")
    return directory


def _static_busybox() -> str:
    path = shutil.which("busybox")
    if path is None:
        raise NoBusyboxError("there is no busybox on PATH; install the package busybox-static")
    if b"/ld-" in _beginning(path):
        raise NoBusyboxError(f"{path} needs shared objects; install the package busybox-static")
    return path


def _beginning(path: str) -> bytes:
    """Return the first page of an ELF file, where the path of a dynamic loader would stand."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head.startswith(_ELF_MAGIC):
        raise NoBusyboxError(f"{path} is not an ELF program; install the package busybox-static")
    return head
