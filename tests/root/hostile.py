"""Links that lead out of a root, and what they must not change."""

from __future__ import annotations

import shutil
from pathlib import Path

# Puts a link into the place of a directory and back again for as long as its input is open.
SWAPPER = """
import ctypes, os, select, sys
swap = ctypes.CDLL(None, use_errno=True).renameat2
one, other = (os.fsencode(path) for path in sys.argv[1:])
print("swapping", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(100):
        if swap(-100, one, -100, other, 2):
            raise OSError(ctypes.get_errno(), "renameat2")
"""


def snapshot(directory: Path) -> list[tuple[str, int, int, int]]:
    """Return every file below a directory with what a write would change."""
    found = []
    for path in sorted((directory, *directory.rglob("*"))):
        info = path.lstat()
        found.append((str(path), info.st_mode, info.st_size, info.st_mtime_ns))
    return found


def links_to(outside: Path, name: str) -> dict[str, list[tuple[str, str]]]:
    """Return ways to lead a name outside: for each the links to make, by path in the root."""
    up = "../" * 12
    return {
        "absolute": [(name, f"{outside}/{name}")],
        "relative": [(name, f"{up}{outside}/{name}".replace("//", "/"))],
        "magic": [(name, f"/proc/1/root{outside}/{name}")],
        "own descriptor": [(name, "/proc/self/fd/5")],
        "working directory": [(name, "/proc/self/cwd")],
        "chain": [(name, "one"), ("one", "two/../two"), ("two", f"{up}{outside}/{name}")],
        "loop": [(name, "one"), ("one", name)],
        "to itself": [(name, name)],
        "to the root": [(name, "/")],
        "above the root": [(name, "..")],
        "to another mount": [(name, "proc" if name != "proc" else "dev")],
    }


WAYS = tuple(links_to(Path("/"), "x"))


def plant(root: Path, links: list[tuple[str, str]]) -> None:
    """Put links into a root in the place of what is there."""
    for name, target in links:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.symlink_to(target)
