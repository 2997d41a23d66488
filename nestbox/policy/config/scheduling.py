"""Scheduler, I/O priority, processors, memory policy, personality: the kernel's numbers. Pure.

Source: sched_setattr(2), ioprio_set(2), set_mempolicy(2), personality(2) and their headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.oci.names import read_list
from nestbox.policy.launch_spec import MemoryPolicySpec, SchedulerSpec

if TYPE_CHECKING:
    from nestbox.oci.linux import LinuxMemoryPolicy, LinuxPersonality
    from nestbox.oci.process import LinuxIOPriority, Scheduler

POLICIES: Final = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHEDULER_FLAGS: Final = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
IO_CLASSES: Final = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IO_CLASS_SHIFT: Final = 13
MEMORY_MODES: Final = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS: Final = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}
PERSONALITIES: Final = {"LINUX": 0x0000, "LINUX32": 0x0008}


def scheduler_of(scheduler: Scheduler | None) -> SchedulerSpec | None:
    """Return the arguments of sched_setattr(2); None leaves the outer ones."""
    if scheduler is None:
        return None
    return SchedulerSpec(
        policy=POLICIES[scheduler.policy],
        flags=sum({SCHEDULER_FLAGS[flag] for flag in scheduler.flags}),
        nice=scheduler.nice,
        priority=scheduler.priority,
        runtime=scheduler.runtime,
        deadline=scheduler.deadline,
        period=scheduler.period,
    )


def io_priority_of(priority: LinuxIOPriority | None) -> int | None:
    """Return the value of ioprio_set(2); None leaves the outer one."""
    if priority is None:
        return None
    return IO_CLASSES[priority.io_class] << _IO_CLASS_SHIFT | priority.priority


def numbers_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as ``0-3,7``, none for an empty text."""
    return tuple(
        sorted({number for first, last in read_list(text) for number in range(first, last + 1)})
    )


def memory_policy_of(policy: LinuxMemoryPolicy | None) -> MemoryPolicySpec | None:
    """Return the arguments of set_mempolicy(2); None leaves the outer policy."""
    if policy is None:
        return None
    flags = sum({MEMORY_FLAGS[flag] for flag in policy.flags})
    return MemoryPolicySpec(mode=MEMORY_MODES[policy.mode] | flags, nodes=numbers_of(policy.nodes))


def personality_of(personality: LinuxPersonality | None) -> int | None:
    """Return the argument of personality(2); None leaves the outer one."""
    return None if personality is None else PERSONALITIES[personality.domain]
