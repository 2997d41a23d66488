"""Launches of a shell in a root of its own, for tests that see what a plan really does."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import msgspec

from nestbox.outer.facts import CapabilitySets
from nestbox.plan import steps as s
from nestbox.plan.compile import compile_plan
from nestbox.policy.launch_spec import LaunchSpec, MountSpec, ProcessSpec, RootSpec
from tests.executor.talk import Answer, no_answer, talking, text_of
from tests.plan.launches import PLAIN, PROGRAM

with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as _file:
    LAST_CAPABILITY = int(_file.read())

PROC = MountSpec(fstype="proc", source="proc", target="/proc")
DEV = MountSpec(fstype="tmpfs", source="tmpfs", target="/dev", options=(("mode", "755"),))
PTS = MountSpec(fstype="devpts", source="devpts", target="/dev/pts", options=(("newinstance", ""),))
# BPF: load the number of the system call, compare, return; see seccomp(2).
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, NOTIFY, KILL = 0x7FFF0000, 0x7FC00000, 0x80000000
APPLETS = "sh cat ls stat id mount readlink sleep mkdir touch hostname true kill chmod".split()


def program(number: int, action: int) -> bytes:
    """Return a filter with an action for one system call of this machine."""
    rows = ((LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, action), (RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def own_sets() -> CapabilitySets:
    """Return our own sets, which a container of these tests keeps."""
    lines = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    masks = {name: int(lines[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    return CapabilitySets(
        inheritable=0,
        permitted=masks["Prm"],
        effective=masks["Prm"],
        bounding=masks["Bnd"],
        ambient=0,
    )


def all_sets() -> CapabilitySets:
    """Return what a process has in a user namespace of its own."""
    full = (1 << LAST_CAPABILITY + 1) - 1
    return CapabilitySets(inheritable=0, permitted=full, effective=full, bounding=full, ambient=0)


def make_root(directory: Path) -> Path:
    """Return a root with the tools of a shell."""
    for name in ("bin", "proc", "dev", "tmp", "etc", "sys"):
        (directory / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", directory / "bin/busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    directory.chmod(0o755)
    return directory


def shell(script: str, **changes: object) -> ProcessSpec:
    """Return a process that runs a script."""
    process = msgspec.structs.replace(
        PROGRAM,
        argv=("sh", "-c", script),
        candidates=("/bin/sh",),
        environment=("PATH=/bin",),
        groups=(0,),
    )
    return msgspec.structs.replace(process, **changes)


def box(directory: Path, script: str, **changes: object) -> LaunchSpec:
    """Return a launch of a script in namespaces of its own, with all our rights."""
    process = changes.pop("process", None) or shell(script)
    launch = msgspec.structs.replace(
        PLAIN,
        process=process,
        capabilities=own_sets(),
        drop_bounding=0,
        namespaces=("mnt", "pid", "ipc", "uts"),
        root=RootSpec(directory=str(directory), nodev=False),
        mounts=(PROC, DEV),
        devices=(),
        device_links=(),
        sysctls=(),
        files=(),
        loopback=False,
        new_keyring=False,
        masked_paths=(),
        readonly_paths=(),
        hostname=None,
    )
    return msgspec.structs.replace(launch, **changes)


def plan_of(launch: LaunchSpec, seccomp: s.LoadSeccomp | None = None) -> s.LaunchPlan:
    """Return the plan of a launch that outlives us."""
    return compile_plan(
        launch,
        seccomp=seccomp,
        last_capability=LAST_CAPABILITY,
        foreground=False,
        wait_for_cgroup=False,
    )


def run(launch: LaunchSpec, answer: Answer = no_answer) -> tuple[int, str]:
    """Return the exit code of a launch and what it printed; a failed step is an error."""
    plan = plan_of(launch)
    with talking(plan) as (talk, output):
        talk.go_on(answer)
        failed = talk.failure()
        assert failed is None, (plan.steps[failed.step], os.strerror(failed.errno), failed)
        return talk.wait(), text_of(output)
