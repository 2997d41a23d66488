"""Values of ``process``: what runs in a container, as whom and within which limits.

Source: runtime-spec 1.3, config.md, "Process".
"""

from typing import Final

import msgspec

from nestbox.oci.numbers import Int32, UInt32, UInt64

# Source: runtime-spec config.md "Linux Process" (scheduler), sched_setattr(2).
SCHEDULER_POLICIES: Final = (
    "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
    "SCHED_DEADLINE",
)  # fmt: skip
SCHEDULER_FLAGS: Final = (
    "SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
)  # fmt: skip
# Source: runtime-spec config.md "Linux Process" (ioPriority), ioprio_set(2).
IO_PRIORITY_CLASSES: Final = ("IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE")


class ConfigCapabilities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``process.capabilities`` of a config.json; the object itself absent is five empty lists."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class ConsoleSize(msgspec.Struct, frozen=True, kw_only=True):
    """The terminal's size in characters."""

    height: UInt64 = 0
    width: UInt64 = 0


class User(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Ids in the container's user namespace."""

    uid: UInt32 = 0
    gid: UInt32 = 0
    umask: UInt32 | None = None  # None leaves the runtime's own
    additional_gids: tuple[UInt32, ...] = ()


class POSIXRlimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of getrlimit(2); 2**64 - 1 is no limit."""

    type: str
    hard: UInt64 = 0
    soft: UInt64 = 0


class Scheduler(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Arguments of sched_setattr(2); the three times are in nanoseconds."""

    policy: str = ""
    nice: Int32 = 0
    priority: Int32 = 0
    flags: tuple[str, ...] = ()
    runtime: UInt64 = 0
    deadline: UInt64 = 0
    period: UInt64 = 0


class LinuxIOPriority(msgspec.Struct, frozen=True, kw_only=True, rename={"io_class": "class"}):
    """Arguments of ioprio_set(2)."""

    io_class: str = ""
    priority: Int32 = 0


class CPUAffinity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """CPU lists for processes of exec: before and after they enter the container's cgroup."""

    initial: str = ""
    final: str = ""


class Process(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "console_size": "consoleSize",
        "no_new_privileges": "noNewPrivileges",
        "apparmor_profile": "apparmorProfile",
        "oom_score_adj": "oomScoreAdj",
        "selinux_label": "selinuxLabel",
        "io_priority": "ioPriority",
        "exec_cpu_affinity": "execCPUAffinity",
    },
):
    """``process``: an empty string is what is absent, None where absent is not zero."""

    terminal: bool = False
    console_size: ConsoleSize | None = None
    user: User = User()
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""
    capabilities: ConfigCapabilities | None = None  # None is the empty set
    rlimits: tuple[POSIXRlimit, ...] = ()
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    oom_score_adj: Int32 | None = None  # None leaves what the runtime was started with
    scheduler: Scheduler | None = None
    selinux_label: str = ""
    io_priority: LinuxIOPriority | None = None
    exec_cpu_affinity: CPUAffinity | None = None


# Of a configuration without a process: a container of it can be created, and its start does
# nothing (runtime-spec config.md: "REQUIRED when start is called").
NO_PROCESS: Final = Process(cwd="/")
