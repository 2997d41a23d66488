"""Cgroups of version 2 for tests: made, entered, looked into and taken away again."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 30
LIMITS = frozenset({"cpu", "memory", "pids"})


def unified() -> Path:
    """Return where the hierarchy of version 2 is mounted, which a hybrid machine has too."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, target, fstype, *_ = line.split()
        if fstype == "cgroup2":
            return Path(target)
    pytest.skip("no cgroup v2 hierarchy is mounted here")


def require_controllers() -> None:
    """Skip where version 2 has no controllers, with the doctor's word for how that is called."""
    from nestbox.outer.cgroups import observe_cgroup
    from nestbox.outer.sources import Sources

    mode = observe_cgroup(Sources()).mode
    offered = set((unified() / "cgroup.controllers").read_text().split())
    if not offered >= LIMITS:
        pytest.skip(f"cgroup {mode}: no mounted v2 hierarchy has memory, cpu and pids")


@contextlib.contextmanager
def made(name: str, *, controllers: bool = False) -> Iterator[Path]:
    """Give a new cgroup below the root of the hierarchy; what is in it at the end is killed."""
    top = unified()
    if controllers:
        (top / "cgroup.subtree_control").write_text("+cpu +memory +pids")
    directory = top / name
    directory.mkdir()
    try:
        yield directory
    finally:
        remove(directory)


def remove(directory: Path) -> None:
    """Kill what is in a cgroup and take it away with all below it."""
    with contextlib.suppress(OSError):  # version 1 has no such file, and no file can be made
        (directory / "cgroup.kill").write_text("1")
    end = time.monotonic() + SECONDS
    for path, _, _ in os.walk(directory, topdown=False):
        while True:
            try:
                os.rmdir(path)
                break
            except OSError:
                assert time.monotonic() < end, f"{path} is still in use"
                time.sleep(0.01)


def processes(directory: Path) -> list[int]:
    """Return the processes of one cgroup."""
    return [int(pid) for pid in (directory / "cgroup.procs").read_text().split()]


def inside(directory: Path, *, namespace: bool = True) -> list[str]:
    """Return the words to put before a command: it runs in a cgroup.

    With ``namespace`` that is the root of a cgroup namespace with version 2 alone, as an engine
    makes it for a container.
    """
    enter = f'echo $$ > {shlex.quote(str(directory))}/cgroup.procs && exec "$@"'
    words = ["sh", "-c", enter, "sh"]
    if namespace:
        show = 'umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
        words += ["unshare", "-C", "-m", "sh", "-c", show, "sh"]
    return words
