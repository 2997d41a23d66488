"""Whoever writes to the root during a launch: held at a point of the plan, not left to chance."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nestbox.executor.encode import encode
from nestbox.outer.facts import CapabilitySets
from nestbox.plan import steps as s
from nestbox.policy.launch_spec import RootSpec
from nestbox.runtime.launch import Conversation, wait
from tests.plan.launches import PLAIN, PROC, PROGRAM, SYS, plan_of

pytestmark = pytest.mark.root

UNMASKED_PROC = (
    "read -r line </proc/interrupts && exit 9;(echo changed >/proc/sys/kernel/hostname) && exit 8;"
)
NOTHING = CapabilitySets(inheritable=0, permitted=0, effective=0, bounding=0, ambient=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a shell."""
    directory = tmp_path / "root"
    for name in ("bin", "proc", "sys", "dev"):
        (directory / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", directory / "bin/sh")
    return directory


def bounding() -> int:
    """Return our own bounding set, of which nothing is to be left."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:"))


def launch_of(root: Path, script: str):
    """Return a launch of a shell script without any capability."""
    program = msgspec.structs.replace(
        PROGRAM, argv=("sh", "-c", script), candidates=("/bin/sh",), environment=(), groups=()
    )
    return msgspec.structs.replace(
        PLAIN,
        process=program,
        capabilities=NOTHING,
        drop_bounding=bounding(),
        root=RootSpec(directory=str(root)),
        mounts=(PROC, SYS),
        devices=(),
        device_links=(),
        sysctls=(),
        files=(),
        loopback=False,
        masked_paths=("/proc/interrupts", "/sys/fs"),
        readonly_paths=("/proc/sys",),
    )


def run(root: Path, script: str, pause: Callable[[str], None]) -> int:
    """Run a script, with pauses before the first mask and before the root is entered."""
    steps: list[s.Step] = []
    for step in plan_of(launch_of(root, script), seccomp=None).steps:
        if isinstance(step, s.Mask) and not any(isinstance(x, s.Mask) for x in steps):
            steps.append(s.Sync(reason="before masks"))
        if isinstance(step, s.Pivot):
            steps.append(s.Sync(reason="before pivot"))
        steps.append(step)
    plan = s.LaunchPlan(namespaces=("mnt", "pid", "ipc", "uts", "net"), steps=tuple(steps))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        conversation = Conversation(plan, encode(plan), stdio=(null, null, null))
        launched = conversation.finish(lambda reason, _: pause(reason))
        code = wait(launched)
        os.close(launched.pidfd)
        return code
    finally:
        os.close(null)


@pytest.mark.parametrize("mount", ["proc", "sys"])
def test_masks_hold_though_another_directory_stood_in_the_place_of_their_mount(root, mount):
    check = {
        "proc": f"{UNMASKED_PROC} exit 7",
        "sys": "for x in /sys/fs/*; do [ -e $x ] && exit 9; done; exit 7",
    }[mount]

    def swap(reason: str) -> None:
        if reason == "before masks":
            os.rename(root / mount, root / "aside")
            (root / mount).mkdir()
        else:
            os.rename(root / mount, root / "bait")
            os.rename(root / "aside", root / mount)

    assert run(root, check, swap) == 7


def test_without_a_race_the_same_launch_is_masked(root):
    assert run(root, f"{UNMASKED_PROC} [ -r /proc/version ] && exit 7", lambda _: None) == 7


def test_a_root_that_becomes_a_link_to_the_outer_one_is_not_followed(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()

    def swap(reason: str) -> None:
        if reason == "before pivot":
            os.rename(root, tmp_path / "aside")
            root.symlink_to(outside)

    assert run(root, "[ -e /bin/sh ] && exit 7", swap) == 7
    assert list(outside.iterdir()) == []


def test_a_directory_that_was_swapped_for_a_link_leads_nowhere_else(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    launch = launch_of(root, "exit 0")
    steps = [x for x in plan_of(launch, seccomp=None).steps if not isinstance(x, s.MakeDirectories)]
    place = next(i for i, x in enumerate(steps) if isinstance(x, s.Pivot))
    made = s.MakeDirectories(path="/proc.d/deep/deeper", mode=0o755)
    steps[place:place] = [s.Sync(reason="swap"), made]
    (root / "proc.d").mkdir()

    def swap(_: str) -> None:
        (root / "proc.d").rmdir()
        (root / "proc.d").symlink_to(outside)

    plan = s.LaunchPlan(namespaces=("mnt", "pid"), steps=tuple(steps))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        conversation = Conversation(plan, encode(plan), stdio=(null, null, null))
        launched = conversation.finish(lambda reason, _: swap(reason))
        wait(launched)
        os.close(launched.pidfd)
    finally:
        os.close(null)
    assert list(outside.iterdir()) == []
    # The link names a path of the root, and there it was made.
    assert root.joinpath(*outside.parts[1:], "deep", "deeper").is_dir()
