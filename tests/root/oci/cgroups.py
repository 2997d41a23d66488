"""Cgroups of the tests: locations that are removed, and processes to put into them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.oci.resources import LinuxResources
from nestbox.outer.facts import Cgroup, CgroupMode, Subject
from nestbox.outer.probe import observe
from nestbox.policy.config.cgroup_location import CgroupLocation, LocationRequest, locate
from nestbox.policy.config.cgroup_settings import settings
from nestbox.runtime.cgroup import apply
from nestbox.runtime.cgroup.files import read
from nestbox.runtime.cgroup.processes import kill_all
from nestbox.runtime.cgroup.removal import remove
from nestbox.runtime.cgroup.tree import missing

MEBIBYTE = 1 << 20


def facts(version: int) -> Cgroup:
    """Return the cgroups of this machine; of version 2 alone as if there were no others."""
    found = observe(frozenset({Subject.CGROUP}), state_directory="/tmp").cgroup
    assert found is not None
    if version == 1:
        if not any(one.version == 1 for one in found.hierarchies):
            pytest.skip("no hierarchy of cgroup v1 is mounted here")
        return found
    unified = tuple(one for one in found.hierarchies if one.version == 2)
    if not unified:
        pytest.skip("no hierarchy of cgroup v2 is mounted here")
    return Cgroup(mode=CgroupMode.V2, hierarchies=unified)


@contextlib.contextmanager
def located(version: int, path: str | None = None) -> Iterator[CgroupLocation]:
    """Give a location below a parent that does not exist yet; nothing of it is left after."""
    name = f"nestbox-test-{os.urandom(4).hex()}"
    request = LocationRequest(container=name, path=path or f"/{name}/inner")
    location = locate(request, facts(version))
    location = msgspec.structs.replace(location, made=missing(location))
    try:
        yield location
    finally:
        kill_all(location, 9)
        remove(location)


@contextlib.contextmanager
def process(script: str = "exec sleep 1000") -> Iterator[subprocess.Popen[str]]:
    """Give a process that does nothing by itself: it begins with a line from us."""
    child = subprocess.Popen(
        ["sh", "-c", f"read _; {script}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            stream.close()


def begin(child: subprocess.Popen[str]) -> None:
    """Let it begin."""
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def memberships(pid: int) -> dict[str, str]:
    """Return the cgroup of a process by controller or named hierarchy, "" for version 2."""
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def directories_left(location: CgroupLocation) -> list[str]:
    """Return what is there of a location, parents that were made for it too."""
    wanted = (*location.directories.values(), *location.made)
    return [path for path in wanted if os.path.exists(path)]


def resources(**parts: object) -> LinuxResources:
    """Return resources by their parts, as a configuration has them."""
    return msgspec.convert(parts, LinuxResources)


def limited(location: CgroupLocation, **parts: object) -> LinuxResources:
    """Make the cgroups with these resources, and return them."""
    wanted = resources(**parts)
    apply.make(location, settings(wanted, location))
    return wanted


def value(location: CgroupLocation, controller: str, file: str) -> str:
    """Return what is in a file of the cgroup of a controller, "" for version 2."""
    return read(location.directories[controller], file)
