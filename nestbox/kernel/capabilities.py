"""The capability table: the one list of names and numbers, and the sets as bit masks.

Everything else that names capabilities (profiles, ``features``, ``nestbox caps``, messages) derives
from it. tests/kernel/test_capabilities.py compares it with the kernel's header.
"""

from __future__ import annotations

from typing import NamedTuple


class CapabilityRow(NamedTuple):
    """One capability: its number, name and purpose, and against which namespace it is checked.

    ``initial_only`` is true when the power that it is for is checked with ``capable()``, that is
    against the initial user namespace, so that holding it in another one has no effect. What it
    allows beside that within namespaces does not count: CAP_SYS_BOOT ends its own pid namespace,
    CAP_SYS_TIME sets the offsets of a time namespace, CAP_IPC_LOCK locks System V shared memory.
    """

    number: int
    name: str
    purpose: str
    initial_only: bool


# Source: include/uapi/linux/capability.h; the last column from the callers of capable().
TABLE: tuple[CapabilityRow, ...] = (
    CapabilityRow(0, "CAP_CHOWN", "change the owner of any file", False),
    CapabilityRow(1, "CAP_DAC_OVERRIDE", "ignore file permissions", False),
    CapabilityRow(
        2, "CAP_DAC_READ_SEARCH", "read any file and search any directory, open by handle", False
    ),
    CapabilityRow(3, "CAP_FOWNER", "act as the owner of any file", False),
    CapabilityRow(4, "CAP_FSETID", "keep set-id bits when a file is changed", False),
    CapabilityRow(5, "CAP_KILL", "send a signal to any process", False),
    CapabilityRow(6, "CAP_SETGID", "take any group id, write gid maps", False),
    CapabilityRow(7, "CAP_SETUID", "take any user id, write uid maps", False),
    CapabilityRow(
        8,
        "CAP_SETPCAP",
        "drop bounding capabilities, raise inheritable ones, set securebits",
        False,
    ),
    CapabilityRow(9, "CAP_LINUX_IMMUTABLE", "set the immutable and append-only flags", True),
    CapabilityRow(10, "CAP_NET_BIND_SERVICE", "bind to ports below 1024", False),
    CapabilityRow(11, "CAP_NET_BROADCAST", "unused by the kernel", False),
    CapabilityRow(12, "CAP_NET_ADMIN", "configure interfaces, routes and firewalls", False),
    CapabilityRow(13, "CAP_NET_RAW", "open raw and packet sockets", False),
    CapabilityRow(14, "CAP_IPC_LOCK", "lock memory", True),
    CapabilityRow(15, "CAP_IPC_OWNER", "ignore permissions of System V IPC objects", False),
    CapabilityRow(16, "CAP_SYS_MODULE", "load and unload kernel modules", True),
    CapabilityRow(17, "CAP_SYS_RAWIO", "access I/O ports and raw devices", True),
    CapabilityRow(18, "CAP_SYS_CHROOT", "use chroot(2), join mount namespaces", False),
    CapabilityRow(19, "CAP_SYS_PTRACE", "trace any process", False),
    CapabilityRow(20, "CAP_SYS_PACCT", "switch process accounting", True),
    CapabilityRow(
        21, "CAP_SYS_ADMIN", "mount, make namespaces, set the host name and much more", False
    ),
    CapabilityRow(22, "CAP_SYS_BOOT", "reboot, load a kernel for kexec", True),
    CapabilityRow(
        23, "CAP_SYS_NICE", "raise priorities, set scheduling and affinity of others", False
    ),
    CapabilityRow(24, "CAP_SYS_RESOURCE", "exceed resource limits and quotas", True),
    CapabilityRow(25, "CAP_SYS_TIME", "set the system clock", True),
    CapabilityRow(26, "CAP_SYS_TTY_CONFIG", "configure virtual terminals", True),
    CapabilityRow(27, "CAP_MKNOD", "create device nodes", True),
    CapabilityRow(28, "CAP_LEASE", "establish leases on any file", True),
    CapabilityRow(29, "CAP_AUDIT_WRITE", "write to the kernel's audit log", True),
    CapabilityRow(30, "CAP_AUDIT_CONTROL", "configure the kernel's audit", True),
    CapabilityRow(
        31, "CAP_SETFCAP", "set file capabilities, map uid 0 into a user namespace", False
    ),
    CapabilityRow(32, "CAP_MAC_OVERRIDE", "override mandatory access control (Smack)", True),
    CapabilityRow(33, "CAP_MAC_ADMIN", "configure mandatory access control (Smack)", True),
    CapabilityRow(34, "CAP_SYSLOG", "read the kernel log and kernel addresses", True),
    CapabilityRow(35, "CAP_WAKE_ALARM", "set alarms that wake the system", True),
    CapabilityRow(36, "CAP_BLOCK_SUSPEND", "keep the system from suspending", True),
    CapabilityRow(37, "CAP_AUDIT_READ", "read the kernel's audit log", True),
    CapabilityRow(38, "CAP_PERFMON", "use performance monitoring", True),
    CapabilityRow(39, "CAP_BPF", "load BPF programs and make maps", True),
    CapabilityRow(40, "CAP_CHECKPOINT_RESTORE", "checkpoint and restore processes", False),
)

LAST_KNOWN = TABLE[-1].number
BY_NAME: dict[str, int] = {row.name: row.number for row in TABLE}

# The kernel stores a set as 64 bits (kernel_cap_t), so no capability can be numbered above 63.
HIGHEST_NUMBER = 63


def name_of(number: int) -> str:
    """Return ``CAP_SYS_ADMIN`` for 21, and ``CAP_41`` for one that is newer than the table."""
    return TABLE[number].name if 0 <= number <= LAST_KNOWN else f"CAP_{number}"


def purpose_of(number: int) -> str:
    """Return what the capability is for, in a few words."""
    return TABLE[number].purpose if 0 <= number <= LAST_KNOWN else "newer than this nestbox"


def is_initial_only(number: int) -> bool:
    """Return whether the capability has no effect outside the initial user namespace."""
    return 0 <= number <= LAST_KNOWN and TABLE[number].initial_only


def numbers_in(mask: int) -> tuple[int, ...]:
    """Return the numbers of the bits that are set, ascending."""
    return tuple(number for number in range(mask.bit_length()) if mask >> number & 1)


def names_in(mask: int) -> tuple[str, ...]:
    """Return the names of the bits that are set, by ascending number."""
    return tuple(name_of(number) for number in numbers_in(mask))


def mask_of(numbers: tuple[int, ...]) -> int:
    """Return the bit mask with exactly these numbers set."""
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


def mask_up_to(last: int) -> int:
    """Return the mask of every capability from 0 to ``last``."""
    return (1 << (last + 1)) - 1
