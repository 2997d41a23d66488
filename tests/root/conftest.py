"""Containers for the functional tests: a runtime, a root with a probe, and what was left behind."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from nestbox.kernel import constants
from nestbox.kernel.syscalls import prctl
from nestbox.runtime.context import Context
from tests.root.driver import SECONDS, Driver, expect_line
from tests.root.hostile import SWAPPER, snapshot

PROBE = Path(__file__).parent.parent / "probe" / "probe.c"
APPLETS = (
    "sh cat chmod chown cp dd df echo env false grep head hostname id ip kill ln ls mkdir mount "
    "mv nproc printf ps pwd readlink rm rmdir sed sleep stat stty sync tail test touch true "
    "tty umount uname wc"
).split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/home/worker:/bin/sh\n"
GROUP = "root:x:0:\nworker:x:1000:\naudio:x:29:worker\nvideo:x:44:worker\nstaff:x:50:\n"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what launches containers, before the conftest above decides what is skipped."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.root)


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the static probe."""
    path = tmp_path_factory.mktemp("probe") / "probe"
    subprocess.run(["gcc", "-static", "-O1", "-o", path, PROBE], check=True)
    return path


@pytest.fixture(scope="session")
def image(probe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small root directory that no test writes to."""
    root = tmp_path_factory.mktemp("image")
    for name in ("bin", "dev", "etc", "home/worker", "mnt", "proc", "root", "sys", "tmp", "var"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    shutil.copy(probe, root / "bin/probe")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    os.chown(root / "home/worker", 1000, 1000)
    # Everything above it is closed to others by pytest, which a container's user must not feel.
    root.chmod(0o755)
    return root


@pytest.fixture
def root(image: Path, tmp_path: Path) -> Path:
    """Return a root directory of one test."""
    copy = tmp_path / "root"
    shutil.copytree(image, copy, symlinks=True)
    os.chown(copy / "home/worker", 1000, 1000)
    return copy


@pytest.fixture
def nestbox(request: pytest.FixtureRequest, tmp_path: Path) -> Driver:
    """Return the runtime, with a state directory that does not exist yet."""
    installed = str(Path(sys.executable).with_name("nestbox"))
    command = request.config.getoption("--runtime") or installed
    return Driver(
        command=(command,), directory=tmp_path / "nestbox", prefix=f"t{os.urandom(4).hex()}"
    )


@dataclass(frozen=True)
class Surroundings:
    """What exists outside of containers that a launch could leave behind."""

    mounts: frozenset[str]
    descriptors: frozenset[str]
    children: frozenset[str]
    cgroups: frozenset[str]
    files: frozenset[str]


def _mounts() -> frozenset[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    # The number of a mount is used again, its place and source tell it.
    return frozenset(" ".join(line.split()[3:]) for line in lines)


def _descriptors() -> frozenset[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        # One copy of the executor serves every launch of a process.
        if not target.startswith("/memfd:nestbox-init"):
            found.add(f"{name} {target}")
    return frozenset(found)


def _children() -> frozenset[str]:
    """Return our children: this process is the subreaper, so all that is left arrives here."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        found |= set(Path(f"/proc/self/task/{task}/children").read_text().split())
    return frozenset(found)


def _cgroups(prefix: str) -> frozenset[str]:
    return frozenset(
        f"{directory}/{name}"
        for directory, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith("nestbox-") and prefix in name
    )


def _files(driver: Driver) -> frozenset[str]:
    """Return what is in the state and storage directories but records and caches."""
    kept = {"@records", "seccomp", "facts"}
    found = set()
    for directory in (driver.state, driver.storage):
        if not directory.is_dir():
            continue
        for entry in directory.iterdir():
            if entry.name == "layers":
                found |= {str(layer) for layer in entry.iterdir()}
            elif entry.name not in kept:
                found.add(str(entry))
    return frozenset(found)


@pytest.fixture
def surroundings(nestbox: Driver):
    """Return a function that observes what a launch could leave behind."""
    prctl(constants.PR_SET_CHILD_SUBREAPER, 1)

    def observe() -> Surroundings:
        return Surroundings(
            mounts=_mounts(),
            descriptors=_descriptors(),
            children=_children(),
            cgroups=_cgroups(nestbox.prefix),
            files=_files(nestbox),
        )

    yield observe
    prctl(constants.PR_SET_CHILD_SUBREAPER, 0)


@pytest.fixture
def orphans(surroundings):
    """Return a function that waits for what a killed runtime left to die, and reaps it."""
    before = surroundings().children

    def reap() -> int:
        left = _children() - before
        for pid in left:
            with_end = os.pidfd_open(int(pid))
            assert select.select([with_end], [], [], SECONDS)[0], f"process {pid} lives on"
            os.waitid(os.P_PIDFD, with_end, os.WEXITED)
            os.close(with_end)
        return len(left)

    return reap


@pytest.fixture
def nothing_left(surroundings):
    """Hold that a test leaves no mount, descriptor, process, cgroup or file behind."""
    before = surroundings()
    yield
    after = surroundings()
    for kind in Surroundings.__dataclass_fields__:
        assert getattr(after, kind) <= getattr(before, kind), f"{kind} were left behind"


@pytest.fixture
def ordinary(nestbox):
    """Yield the runtime as uid 61234 runs it, with directories of his own.

    They are not among those of pytest, which every session of it closes to other users.
    """
    directory = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="nestbox-ordinary-"))
    os.chown(directory, 61234, 61234)
    nestbox.directory = directory
    nestbox.extra_environment = {"HOME": str(directory)}
    yield nestbox
    shutil.rmtree(directory)


@pytest.fixture
def context(nestbox):
    """Return the context of a caller with this test's state directory."""
    return Context(
        directory="/",
        environment={},
        stdin=0,
        stdout=1,
        stderr=2,
        root=str(nestbox.state),
        storage=str(nestbox.storage),
    )


@pytest.fixture
def outside(tmp_path):
    """Yield a directory that looks like a root, and hold that a test does not change it."""
    directory = tmp_path / "outside"
    for name in ("proc", "dev", "sys", "etc", "data"):
        (directory / name).mkdir(parents=True)
    (directory / "etc/hosts").write_text("outer\n")
    (directory / "dev/null").write_text("outer\n")
    before = snapshot(directory)
    yield directory
    assert snapshot(directory) == before


@pytest.fixture
def swapping():
    """Return a function that swaps two paths again and again until the test ends."""
    started = []

    def start(one: Path, other: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", SWAPPER, str(one), str(other)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        expect_line(process, b"swapping")

    yield start
    for process in started:
        _, errors = process.communicate(b"end", timeout=60)
        assert errors == b""
