"""Golden texts by environment and by class of machine.

A text holds on every machine for which there is no other one. A class is a cgroup version and a
kernel: `NAME.txt` is of the reference machine, `NAME@v2.txt` of machines with cgroup version 2, and
`NAME@v2-5.10.txt` of those that have this kernel too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.root.nesting import cgroups

GOLDEN: Final = Path(__file__).parent / "golden"
UPDATE: Final = "NESTBOX_UPDATE_GOLDEN"
# What the texts were made on: another machine has other facts, and so other texts.
KNOWN: Final = frozenset({"v1-6.18"})
REFERENCE: Final = "v1-6.18"
_LEADING_V2: Final = "v2-6.12"


def machine_class() -> str:
    """Return the class of this machine, as "v2-6.1"."""
    major, minor = os.uname().release.split(".")[:2]
    return f"{cgroups.version()}-{major}.{minor.split('-')[0]}"


def file_of(name: str, machine: str) -> Path:
    """Return the file whose text holds for an environment on a machine."""
    version = machine.partition("-")[0]
    for candidate in (f"{name}@{machine}", f"{name}@{version}"):
        if (GOLDEN / f"{candidate}.txt").exists():
            return GOLDEN / f"{candidate}.txt"
    return GOLDEN / f"{name}.txt"


def wanted() -> Path | None:
    """Return where texts are to be written: NESTBOX_UPDATE_GOLDEN is 1, or another directory."""
    value = os.environ.get(UPDATE)
    return GOLDEN if value == "1" else Path(value) if value else None


def update(name: str, machine: str, text: str, directory: Path) -> None:
    """Write the text of an environment as that of a class, if it is another one than of its kin."""
    directory.mkdir(exist_ok=True)
    own = directory / class_file(name, machine)
    if machine != REFERENCE:
        own.unlink(missing_ok=True)
        kin = file_of(name, machine)
        if kin.exists() and kin.read_text() == text:
            return
    own.write_text(text)


def class_file(name: str, machine: str) -> str:
    """Return the name of the file for a class alone: one of each cgroup version leads its kin."""
    if machine == REFERENCE:
        return f"{name}.txt"
    return f"{name}@v2.txt" if machine == _LEADING_V2 else f"{name}@{machine}.txt"
