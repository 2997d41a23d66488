"""Values of ``linux.seccomp``, and the words they are made of.

Source: runtime-spec 1.3, config-linux.md, "Seccomp".
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from nestbox.oci.problem import Problem

MAX_ERRNO: Final = 4095  # the kernel cuts a larger SECCOMP_RET_DATA. Source: kernel/seccomp.c
_MAX_ARGUMENT: Final = (1 << 64) - 1


class SeccompAction(StrEnum):
    """What the kernel does with a matching syscall."""

    KILL = "SCMP_ACT_KILL"  # the older name of KILL_THREAD
    KILL_PROCESS = "SCMP_ACT_KILL_PROCESS"
    KILL_THREAD = "SCMP_ACT_KILL_THREAD"
    TRAP = "SCMP_ACT_TRAP"
    ERRNO = "SCMP_ACT_ERRNO"
    TRACE = "SCMP_ACT_TRACE"
    ALLOW = "SCMP_ACT_ALLOW"
    LOG = "SCMP_ACT_LOG"
    NOTIFY = "SCMP_ACT_NOTIFY"


class SeccompOperator(StrEnum):
    """How an argument is compared; arguments are unsigned 64-bit numbers."""

    NE = "SCMP_CMP_NE"
    LT = "SCMP_CMP_LT"
    LE = "SCMP_CMP_LE"
    EQ = "SCMP_CMP_EQ"
    GE = "SCMP_CMP_GE"
    GT = "SCMP_CMP_GT"
    MASKED_EQ = "SCMP_CMP_MASKED_EQ"  # (argument & value) == valueTwo


class SeccompFlag(StrEnum):
    """Flags of seccomp(2) that a configuration may name."""

    TSYNC = "SECCOMP_FILTER_FLAG_TSYNC"
    LOG = "SECCOMP_FILTER_FLAG_LOG"
    SPEC_ALLOW = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
    WAIT_KILLABLE_RECV = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"


class SeccompArchitecture(StrEnum):
    """Calling conventions that a filter can tell apart."""

    X86 = "SCMP_ARCH_X86"
    X86_64 = "SCMP_ARCH_X86_64"
    X32 = "SCMP_ARCH_X32"
    ARM = "SCMP_ARCH_ARM"
    AARCH64 = "SCMP_ARCH_AARCH64"
    MIPS = "SCMP_ARCH_MIPS"
    MIPS64 = "SCMP_ARCH_MIPS64"
    MIPS64N32 = "SCMP_ARCH_MIPS64N32"
    MIPSEL = "SCMP_ARCH_MIPSEL"
    MIPSEL64 = "SCMP_ARCH_MIPSEL64"
    MIPSEL64N32 = "SCMP_ARCH_MIPSEL64N32"
    PPC = "SCMP_ARCH_PPC"
    PPC64 = "SCMP_ARCH_PPC64"
    PPC64LE = "SCMP_ARCH_PPC64LE"
    S390 = "SCMP_ARCH_S390"
    S390X = "SCMP_ARCH_S390X"
    PARISC = "SCMP_ARCH_PARISC"
    PARISC64 = "SCMP_ARCH_PARISC64"
    RISCV64 = "SCMP_ARCH_RISCV64"
    LOONGARCH64 = "SCMP_ARCH_LOONGARCH64"
    M68K = "SCMP_ARCH_M68K"
    SH = "SCMP_ARCH_SH"
    SHEB = "SCMP_ARCH_SHEB"

    @property
    def library_name(self) -> str:
        """The name that seccomp_arch_resolve_name(3) takes."""
        return self.value.removeprefix("SCMP_ARCH_").lower()


ERRNO_ACTIONS: Final = frozenset({SeccompAction.ERRNO, SeccompAction.TRACE})

_Unsigned = Annotated[int, msgspec.Meta(ge=0)]
Errno = Annotated[int, msgspec.Meta(ge=0, le=MAX_ERRNO)]
_Name = Annotated[str, msgspec.Meta(min_length=1)]


class LinuxSeccompArg(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True
):
    """One comparison of one argument."""

    index: Annotated[int, msgspec.Meta(ge=0, le=5)]
    value: _Unsigned
    value_two: _Unsigned = 0
    op: SeccompOperator


class LinuxSyscall(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One rule: what to do with these syscalls when all comparisons hold."""

    names: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1)]
    action: SeccompAction
    errno_ret: Errno | None = None
    args: tuple[LinuxSeccompArg, ...] = ()


class LinuxSeccomp(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """``linux.seccomp`` of a container's configuration."""

    default_action: SeccompAction
    default_errno_ret: Errno | None = None
    architectures: tuple[SeccompArchitecture, ...] = ()
    flags: tuple[SeccompFlag, ...] | None = None  # None leaves the choice to the runtime
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: tuple[LinuxSyscall, ...] = ()


def find_problems(
    seccomp: LinuxSeccomp, syscalls: Iterable[LinuxSyscall] | None = None
) -> list[Problem]:
    """Return what is wrong with a configuration beyond the types of its fields.

    Args:
        seccomp: the configuration.
        syscalls: its rules, when they are kept apart from it.

    Source: runtime-spec 1.3, config-linux.md, "Seccomp" (``errnoRet``, ``listenerPath``).
    """
    problems = _errno_problems("$.default", seccomp.default_action, seccomp.default_errno_ret)
    notifies = False
    for i, rule in enumerate(seccomp.syscalls if syscalls is None else syscalls):
        place = f"$.syscalls[{i}]"
        problems += _errno_problems(f"{place}.", rule.action, rule.errno_ret)
        if any(max(arg.value, arg.value_two) > _MAX_ARGUMENT for arg in rule.args):
            problems.append(_problem(f"{place}.args", "a value needs more than 64 bits"))
        if rule.action is SeccompAction.NOTIFY:
            notifies = True
            if "write" in rule.names:
                # The listener's descriptor is announced with write(2), after the filter is on.
                problems.append(_problem(f"{place}.names", _NOT_FOR_WRITE))
    if seccomp.default_action is SeccompAction.NOTIFY:
        problems.append(_problem("$.defaultAction", "SCMP_ACT_NOTIFY cannot be the default"))
    elif notifies and not seccomp.listener_path:
        problems.append(
            _problem("$.listenerPath", "SCMP_ACT_NOTIFY needs a listener", "set `listenerPath`")
        )
    elif seccomp.listener_metadata and not seccomp.listener_path:
        problems.append(
            _problem("$.listenerMetadata", "there is no `listenerPath`", "set `listenerPath`")
        )
    return problems


def _errno_problems(prefix: str, action: SeccompAction, code: int | None) -> list[Problem]:
    """Return the complaint about an errno beside an action that has none."""
    if code is None or action in ERRNO_ACTIONS:
        return []
    key = "ErrnoRet" if prefix.endswith("default") else "errnoRet"
    return [_problem(prefix + key, f"{action} takes no errno", f"remove it, or use {_ERRNO_TEXT}")]


_NOT_FOR_WRITE: Final = "SCMP_ACT_NOTIFY cannot be used for the write syscall"  # as in runc
_ERRNO_TEXT: Final = " or ".join(sorted(ERRNO_ACTIONS))


def _problem(place: str, cause: str, remedy: str = "change this value") -> Problem:
    return Problem(place=place, cause=cause, remedy=remedy)
