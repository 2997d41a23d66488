"""Where a configuration may not mount: on the root, and on or below /proc but for a few. Pure.

A mount there could show the container, or the runtime that writes its labels and sysctls, another
file in the place of the kernel's. Source: CVE-2019-16884, CVE-2019-19921.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.bundle_facts import SourceFacts
from nestbox.policy.config.places import is_bind, outside

if TYPE_CHECKING:
    from nestbox.policy.config.asked_mount import AskedMount
    from nestbox.policy.config.case import Case

# What lxcfs and others give a container of its own.
_ALLOWED: Final = frozenset(
    {
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/slabinfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/uptime",
    }
)
_REMEDY: Final = "mount over the files of lxcfs (as /proc/meminfo) alone, or use linux.maskedPaths"


def check_target(asked: AskedMount, case: Case) -> None:
    """Refuse a target that is not safe. Raises UsageError."""
    target = asked.target
    if target == "/":
        raise asked.error(f'mountpoint "{target}" is on the top of rootfs', "use root.path")
    if target == "/proc":
        _check_proc(asked, case)
    elif target.startswith("/proc/") and target not in _ALLOWED:
        cause = f'"{target}" cannot be mounted because it is inside /proc'
        raise asked.error(cause, _REMEDY)


def _check_proc(asked: AskedMount, case: Case) -> None:
    """Refuse anything but a proc file system on /proc."""
    if asked.options.remount:
        return
    source = case.bundle.sources.get(outside(asked.mount.source, case.options), SourceFacts())
    # One that is not there is told as such.
    if (source.proc or source.error) if is_bind(asked.mount) else asked.mount.type == "proc":
        return
    raise asked.error(
        '"/proc" cannot be mounted because it is not of type proc',
        "mount a new proc there, or bind one",
    )
