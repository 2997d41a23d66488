"""Plans that are harmless where they are executed, and the same ones damaged."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

import msgspec

from nestbox.executor.encode import encode
from nestbox.outer.facts import CapabilitySets
from nestbox.plan.steps import LoadSeccomp
from nestbox.policy.launch_spec import (
    DeviceSpec,
    HookSpec,
    LaunchSpec,
    MountSpec,
    RootSpec,
    SchedulerSpec,
)
from tests.executor.model import HEADER, STEP
from tests.plan.launches import DEV, PLAIN, PROC, PROGRAM, PTS, plan_of

EDGES = (0, 1, 7, 8, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, 1 << 63, (1 << 64) - 1)
# BPF_RET | BPF_K, SECCOMP_RET_ALLOW; twice, so that there is an instruction to damage.
ALLOW = LoadSeccomp(program=struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000) * 2)
with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as _file:
    LAST_CAPABILITY = int(_file.read())

NO_SETS = CapabilitySets(inheritable=0, permitted=0, effective=0, bounding=0, ambient=0)

HARMLESS = msgspec.structs.replace(
    PLAIN,
    namespaces=("user", "mnt", "pid", "ipc", "uts"),
    process=msgspec.structs.replace(PROGRAM, groups=None, rlimits=()),
    capabilities=NO_SETS,
    drop_bounding=(1 << LAST_CAPABILITY + 1) - 1,
    mounts=(PROC, DEV, PTS),
    devices=(),
    sysctls=(),
    files=(),
    loopback=False,
)


def launches(root: str) -> Iterator[LaunchSpec]:
    """Return launches that are harmless for the machine, each with steps that others lack.

    The root has the directories /proc and /dev and the program /bin/true, and belongs to somebody
    else than the user who executes them.
    """
    plain = msgspec.structs.replace(HARMLESS, root=RootSpec(directory=root))
    process = plain.process
    yield plain
    yield msgspec.structs.replace(
        plain, process=msgspec.structs.replace(process, terminal=True, init=True)
    )
    yield msgspec.structs.replace(
        plain, process=msgspec.structs.replace(process, no_new_privs=True, umask=0o77)
    )
    yield PLAIN
    yield as_engines(plain, root)


def as_engines(launch: LaunchSpec, root: str) -> LaunchSpec:
    """Return a launch with what engines ask for and a user without rights may do."""
    process = msgspec.structs.replace(
        launch.process,
        affinity=(0,),
        io_priority=(2 << 13) | 7,
        personality=0,
        scheduler=SchedulerSpec(policy=3),
        own_streams=True,
        preserved=0,
    )
    hook = HookSpec(path=f"{root}/bin/true", argv=("true",), environment=("A=b",))
    tmpfs = MountSpec(fstype="tmpfs", source="tmpfs", target="/bin", copy_up=True)
    return msgspec.structs.replace(
        launch,
        process=process,
        mounts=(
            *(PROC, DEV, PTS, tmpfs),
            MountSpec(fstype="tmpfs", source="tmpfs", target="/dev/shm", inherit_mode=True),
            MountSpec(fstype="remount", source="", target="/bin", attributes=("nosuid",)),
            MountSpec(fstype="link", source="fd/0", target="/dev/stdin"),
        ),
        devices=(DeviceSpec(target="/dev/fifo", source=None, kind="p", major=0, minor=0),),
        root=msgspec.structs.replace(launch.root, propagation="slave"),
        create_hooks=(hook,),
        runtime_hooks=True,
        own_proc=True,
        domainname="example",
    )


def base_plans(root: str) -> list[bytes]:
    """Return encoded plans that use every kind of operand."""
    return [encode(plan_of(launch, seccomp=ALLOW)) for launch in launches(root)]


def mutants(root: str, seed: int, count: int) -> Iterator[bytes]:
    """Return damaged plans, always the same damage for a seed."""
    generator = random.Random(seed)
    bases = base_plans(root)
    for _ in range(count):
        plan = bytearray(generator.choice(bases))
        for _ in range(generator.choice((1, 1, 1, 2, 4))):
            plan = generator.choice(MUTATIONS)(plan, generator)
        yield bytes(plan)


def _truncate(plan: bytearray, generator: random.Random) -> bytearray:
    return plan[: generator.randrange(len(plan) + 1)]


def _extend(plan: bytearray, generator: random.Random) -> bytearray:
    return plan + generator.randbytes(generator.randrange(1, 64))


def _flip_anywhere(plan: bytearray, generator: random.Random) -> bytearray:
    if plan:
        plan[generator.randrange(len(plan))] ^= 1 << generator.randrange(8)
    return plan


def _edge_in_header(plan: bytearray, generator: random.Random) -> bytearray:
    if len(plan) >= HEADER.size:
        value = generator.choice(EDGES) & 0xFFFFFFFF
        struct.pack_into("=I", plan, 4 * generator.randrange(4), value)
    return plan


def _step_at(plan: bytearray, generator: random.Random) -> int:
    steps = (len(plan) - HEADER.size) // STEP.size
    return HEADER.size + STEP.size * generator.randrange(min(max(steps, 1), 90))


def _edge_in_step(plan: bytearray, generator: random.Random) -> bytearray:
    at = _step_at(plan, generator)
    if at + STEP.size > len(plan):
        return plan
    value = generator.choice((*EDGES, len(plan), generator.randrange(len(plan))))
    if generator.random() < 0.5:
        struct.pack_into("=Q", plan, at + 16 + 8 * generator.randrange(6), value)
    else:
        struct.pack_into("=I", plan, at + 4 * generator.randrange(4), value & 0xFFFFFFFF)
    return plan


def _nudge_step(plan: bytearray, generator: random.Random) -> bytearray:
    at = _step_at(plan, generator) + 4 * generator.randrange(STEP.size // 4)
    if at + 4 <= len(plan):
        value = struct.unpack_from("=I", plan, at)[0] + generator.choice((-8, -1, 1, 8))
        struct.pack_into("=I", plan, at, value & 0xFFFFFFFF)
    return plan


def _swap_steps(plan: bytearray, generator: random.Random) -> bytearray:
    one, other = _step_at(plan, generator), _step_at(plan, generator)
    if max(one, other) + STEP.size <= len(plan):
        cell = plan[one : one + STEP.size]
        plan[one : one + STEP.size] = plan[other : other + STEP.size]
        plan[other : other + STEP.size] = cell
    return plan


def _other_operation(plan: bytearray, generator: random.Random) -> bytearray:
    at = _step_at(plan, generator)
    if at + 4 <= len(plan):
        struct.pack_into("=I", plan, at, generator.randrange(98))
    return plan


def _without_nul(plan: bytearray, generator: random.Random) -> bytearray:
    at = generator.randrange(len(plan)) if plan else 0
    end = plan.find(b"\0", at)
    if end >= 0:
        plan[end] = 0x41
    return plan


MUTATIONS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    _truncate,
    _extend,
    _flip_anywhere,
    _edge_in_header,
    _edge_in_step,
    _edge_in_step,
    _nudge_step,
    _swap_steps,
    _other_operation,
    _without_nul,
)
