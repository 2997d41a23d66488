"""The runtimes that engines are made to call: nestbox, or a peer on which the tests are tested."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from integration.engines.enclosure import PATH

NAMES = ("nestbox", "runc", "crun")


@dataclass(frozen=True)
class EngineRuntime:
    """One OCI runtime: the name that engines know it by, and its program."""

    name: str
    path: str

    @property
    def is_nestbox(self) -> bool:
        """Return whether this is our own, which starts where its peers fail."""
        return self.name == "nestbox"


def find(name: str) -> EngineRuntime:
    """Return a runtime of this machine.

    Raises:
        FileNotFoundError: it is not installed, or not built.
    """
    if name == "nestbox":
        path = str(Path(sys.executable).with_name("nestbox-runtime"))
        found = shutil.which(path)
    else:
        found = shutil.which(name, path=PATH)
    if not found:
        raise FileNotFoundError(f"no runtime {name}: run `make build`, or install it")
    return EngineRuntime(name, found)


def installed() -> list[EngineRuntime]:
    """Return the runtimes of this machine."""
    present = []
    for name in NAMES:
        try:
            present.append(find(name))
        except FileNotFoundError:
            continue
    return present
