"""Limits of this process, and the sysctls that gate what a launch may do."""

from __future__ import annotations

import os
import resource

from nestbox.kernel import procfs
from nestbox.kernel.rlimits import RLIMITS
from nestbox.outer.facts import Limit, Limits
from nestbox.outer.sources import read_optional, read_proc

_DOTTED = (
    "user.max_user_namespaces",
    "user.max_mnt_namespaces",
    "user.max_pid_namespaces",
    "user.max_net_namespaces",
    "user.max_ipc_namespaces",
    "user.max_uts_namespaces",
    "user.max_cgroup_namespaces",
    "user.max_time_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.modules_disabled",
    "kernel.kexec_load_disabled",
    "kernel.unprivileged_bpf_disabled",
    "kernel.pid_max",
    "kernel.keys.maxkeys",
    "kernel.keys.root_maxkeys",
    "kernel.dmesg_restrict",
    "kernel.yama.ptrace_scope",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_unprivileged_port_start",
    "fs.mount-max",
    "fs.nr_open",
)

# By name, the file of each. The lockdown state is no sysctl, but gates the same things.
SYSCTLS: dict[str, str] = {
    **{name: "/proc/sys/" + name.replace(".", "/") for name in _DOTTED},
    "lockdown": "/sys/kernel/security/lockdown",
}


def observe_sysctls() -> dict[str, str | None]:
    """Return the gating sysctls by name; None for one that is absent or may not be read."""
    return {name: read_optional(path) for name, path in SYSCTLS.items()}


def _finite(value: int) -> int | None:
    """Return a limit, None for RLIM_INFINITY."""
    return None if value == resource.RLIM_INFINITY else value


def _rlimit(number: int) -> Limit:
    """Return one resource limit of this process."""
    soft, hard = resource.getrlimit(number)
    return Limit(soft=_finite(soft), hard=_finite(hard))


def _parse_score(text: bytes) -> int:
    """Return the number of an oom_score_adj file, which may be negative. Raises MalformedText."""
    sign = -1 if text.startswith(b"-") else 1
    return sign * procfs.parse_number(text.removeprefix(b"-"))


def _floor(own: int) -> int | None:
    """Return 0 where our score can be lowered to that, by trial.

    The kernel lets everyone go back to the lowest score that a process with CAP_SYS_RESOURCE has
    set, and shows that score nowhere. Engines raise their own above 0 and ask for 0.
    """
    if own <= 0:
        return None
    from nestbox.kernel.trials import try_oom_score

    return 0 if try_oom_score(0) is None else None


def observe_limits() -> Limits:
    """Return the limits of this process. Raises EnvironmentUnreadable. Source: getrlimit(2)."""
    own = read_proc("/proc/thread-self/oom_score_adj", _parse_score)
    return Limits(
        rlimits={name: _rlimit(number) for name, number in RLIMITS.items()},
        oom_score_adj=own,
        oom_score_floor=_floor(own),
        cpus=len(os.sched_getaffinity(0)),
        memory_total_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
