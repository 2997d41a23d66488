"""Seccomp filters as outer engines install them: docker's default one, and an old one."""

from __future__ import annotations

import ctypes
import os

from msgspec.structs import replace

from nestbox.kernel.syscalls import prctl
from nestbox.oci.seccomp import LinuxSeccomp, LinuxSyscall, SeccompAction
from nestbox.policy.seccomp import resolve
from nestbox.policy.shipped_profiles import seccomp_file
from nestbox.runtime.seccomp import compile_filter, read_profile
from tests.root.nesting.description import Environment, Filter

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_INSTRUCTION_BYTES = 8
# What engines did not know, and answered with EPERM.
_SINCE_2020 = ("clone3", "close_range", "faccessat2", "fchmodat2")
_SINCE_2019 = (
    *_SINCE_2020,
    *"fsconfig fsmount fsopen fspick mount_setattr move_mount open_tree openat2".split(),
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def program_of(described: Environment) -> bytes | None:
    """Return the program of the environment's filter; None when it has none."""
    if described.seccomp is Filter.NONE:
        return None
    if described.seccomp in {Filter.OLD, Filter.NO_CLONE3}:
        unknown = _SINCE_2019 if described.seccomp is Filter.OLD else _SINCE_2020
        rule = LinuxSyscall(names=unknown, action=SeccompAction.ERRNO, errno_ret=1)
        wanted = LinuxSeccomp(default_action=SeccompAction.ALLOW, syscalls=(rule,))
    else:
        machine = os.uname()
        major, minor = machine.release.split(".")[:2]
        wanted = resolve(
            read_profile(seccomp_file("default")),
            capabilities=frozenset(f"CAP_{name}" for name in described.capabilities),
            machine=machine.machine,
            kernel=(int(major), int(minor.split("-")[0])),
        )
        # Docker's list lets no container call it, ours does where it can do no harm.
        wanted = _denying(wanted, "pivot_root")
    return compile_filter(wanted, cache_directory=None).program


def _denying(seccomp: LinuxSeccomp, name: str) -> LinuxSeccomp:
    """Return the filter that answers EPERM to this system call."""
    rules = [
        replace(rule, names=tuple(one for one in rule.names if one != name))
        for rule in seccomp.syscalls
    ]
    denied = LinuxSyscall(names=(name,), action=SeccompAction.ERRNO, errno_ret=1)
    return replace(seccomp, syscalls=(*(rule for rule in rules if rule.names), denied))


def install(program: bytes) -> None:
    """Put the filter on this process. Needs CAP_SYS_ADMIN, or no_new_privs."""
    room = ctypes.create_string_buffer(program, len(program))
    header = _Program(len(program) // _INSTRUCTION_BYTES, ctypes.addressof(room))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))
