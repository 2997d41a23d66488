"""Mounts changed by mount(2), as before Linux 5.12: a container sees them as it does otherwise."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nestbox.plan import steps as s
from nestbox.policy.launch_spec import LaunchSpec, MountSpec, RootSpec
from tests.executor.boxes import DEV, PROC, box, make_root, plan_of, run

pytestmark = pytest.mark.root

TABLE = "cat /proc/self/mountinfo"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """Return a directory with mounts below it, of which one has an awkward name."""
    directory = tmp_path / "volume"
    places = [directory / "below", directory / "below/deeper", directory / "a\tb c\\d"]
    for place in places:
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid", "tmpfs", place], check=True)
    yield directory
    for place in reversed(places):
        subprocess.run(["umount", place], check=True)


def table(launch: LaunchSpec) -> list[str]:
    """Return what the container says of its mounts, without the numbers that differ."""
    code, text = run(launch)
    assert code == 0, text
    lines = [re.sub(r"(shared|master):\d+", r"\1", line) for line in text.splitlines()]
    return [" ".join(line.split()[3:]) for line in lines]


def both(launch: LaunchSpec) -> list[str]:
    """Return the mounts of a launch, which are the same in the old way and in the new one."""
    old = table(msgspec.structs.replace(launch, old_mounts=True))
    assert old == table(launch)
    return old


def attributes(lines: list[str], target: str) -> set[str]:
    (line,) = (one for one in lines if one.split()[1] == target)
    return set(line.split()[2].split(","))


def bind(source: Path, target: str, **changes: object) -> MountSpec:
    return MountSpec(fstype="bind", source=str(source), target=target, **changes)


def test_masks_devices_and_what_is_read_only(root):
    (root / "secret").write_text("x")
    launch = box(
        root,
        f"{TABLE}; echo >/proc/sys/vm/swappiness && exit 1; test ! -s /secret",
        masked_paths=("/proc/acpi", "/proc/timer_list", "/secret"),
        readonly_paths=("/proc/sys", "/proc/bus"),
        root=RootSpec(directory=str(root), readonly=True),
    )
    lines = both(launch)
    assert "ro" in attributes(lines, "/proc/sys")
    assert {"ro", "nosuid", "noexec"} <= attributes(lines, "/proc/timer_list")
    assert {"ro", "nodev"} <= attributes(lines, "/")


def test_all_that_is_below_a_volume(root, volume):
    launch = box(
        root,
        TABLE,
        mounts=(PROC, DEV, bind(volume, "/mnt", recursive=True, attributes=("ro", "noexec"))),
    )
    lines = both(launch)
    for name in ("/mnt", "/mnt/below", "/mnt/below/deeper", "/mnt/a\\011b\\040c\\134d"):
        assert {"ro", "noexec"} <= attributes(lines, name)
    # What a mount had stays, as it must in a user namespace.
    assert "nosuid" in attributes(lines, "/mnt/below")
    assert "nosuid" not in attributes(lines, "/mnt")


def test_the_top_of_a_volume_alone(root, volume):
    mount = bind(volume, "/mnt", recursive=True, recursive_attributes=False, attributes=("ro",))
    lines = both(box(root, TABLE, mounts=(PROC, DEV, mount)))
    assert "ro" in attributes(lines, "/mnt")
    assert "rw" in attributes(lines, "/mnt/below")


@pytest.mark.parametrize("time", ["noatime", "relatime", "strictatime"])
def test_times_of_access(root, tmp_path, time):
    (tmp_path / "volume").mkdir()
    mount = bind(tmp_path / "volume", "/mnt", attributes=(time, "nodiratime"))
    found = attributes(both(box(root, TABLE, mounts=(PROC, DEV, mount))), "/mnt")
    assert (time in found) == (time != "strictatime")
    assert "nodiratime" in found


@pytest.mark.parametrize("propagation", ["private", "slave", "shared"])
def test_propagation(root, volume, propagation):
    mount = bind(volume, "/mnt", recursive=True, propagation=propagation)
    both(box(root, TABLE, mounts=(PROC, DEV, mount)))


def test_what_an_attribute_is_taken_from(root, volume):
    mount = bind(volume / "below", "/mnt", cleared=("nosuid",))
    assert "nosuid" not in attributes(both(box(root, TABLE, mounts=(PROC, DEV, mount))), "/mnt")


def test_a_single_file(root, tmp_path):
    (tmp_path / "file").write_text("text\n")
    mount = bind(tmp_path / "file", "/etc/file", attributes=("ro",))
    lines = both(box(root, f"cat /etc/file >/dev/null; {TABLE}", mounts=(PROC, DEV, mount)))
    assert "ro" in attributes(lines, "/etc/file")


def test_the_root_itself(root):
    both(box(root, TABLE, root=RootSpec(directory=str(root), nodev=True, nosuid=True)))


def test_the_plan_says_so_before_the_first_mount(root):
    plan = plan_of(msgspec.structs.replace(box(root, "true"), old_mounts=True))
    assert isinstance(plan.steps[0], s.OldMounts)
    assert not any(isinstance(step, s.OldMounts) for step in plan_of(box(root, "true")).steps)
