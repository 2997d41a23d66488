"""The hierarchies of a container's cgroups, by name. Pure, and loads nothing."""

from __future__ import annotations

UNIFIED = ""  # the key of the version 2 hierarchy, beside names of controllers

# In which of the version 1 cgroups a container's processes are looked for.
_MAIN = ("devices", "freezer", "pids", "memory", "cpu")


def main_directory(version: int, directories: dict[str, str]) -> str | None:
    """Return the directory that shows the container's processes; None when there is none."""
    if version == 2:
        return directories.get(UNIFIED)
    for controller in (*_MAIN, *directories):
        if controller != UNIFIED and controller in directories:
            return directories[controller]
    return directories.get(UNIFIED)


def is_optional(version: int, key: str) -> bool:
    """Return whether a container may do without this hierarchy: one that limits nothing."""
    return version == 1 and (key in {UNIFIED, "misc"} or key.startswith("name="))
