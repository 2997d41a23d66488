"""Seccomp filters compiled by libseccomp: loaded only when no kept program will do.

Source: seccomp(2), seccomp_export_bpf(3).
"""

from __future__ import annotations

import errno
from typing import Final

from nestbox.errors import NestboxError, ProfileError, Refused
from nestbox.kernel import libseccomp
from nestbox.kernel.libseccomp import (
    ActionCode,
    Attribute,
    Comparison,
    Filter,
    FilterFlag,
    OperatorCode,
)
from nestbox.oci.seccomp import (
    ERRNO_ACTIONS,
    LinuxSeccomp,
    LinuxSyscall,
    SeccompAction,
    SeccompArchitecture,
    SeccompFlag,
    find_problems,
)
from nestbox.runtime.seccomp_cache import KeptFilter, identify
from nestbox.runtime.seccomp_enosys import prefix_enosys

MAX_INSTRUCTIONS: Final = 4096  # Source: BPF_MAXINSNS in include/uapi/linux/bpf_common.h
_INSTRUCTION_BYTES: Final = 8  # sizeof(struct sock_filter)
# libseccomp 2.5 makes a wrong binary tree of no rules, and a short list is as fast as a tree.
_FEWEST_FOR_TREE: Final = 32
# A tracer and a log let the syscall through.
_PERMISSIVE: Final = frozenset({SeccompAction.ALLOW, SeccompAction.LOG, SeccompAction.TRACE})


def compile_program(seccomp: LinuxSeccomp) -> KeptFilter:
    """Return the program that libseccomp makes of a filter.

    Raises:
        ProfileError: the filter contradicts itself or is too large for the kernel.
        Refused: libseccomp is missing.
    """
    problems = find_problems(seccomp)
    if problems:
        first = problems[0]
        raise _unusable(f"{first.place}: {first.cause}", first.remedy)
    try:
        return _build(seccomp)
    except ImportError as error:
        raise Refused(
            "cannot compile the seccomp filter",
            cause=f"nestbox was installed without its build step: {error}",
            remedy="install it with: pip install .",
        ) from error
    except OSError as error:
        if not libseccomp.is_loaded():
            raise Refused(
                "cannot compile the seccomp filter",
                cause=str(error.strerror),
                remedy="install the package libseccomp2 (Debian, Ubuntu) or libseccomp,"
                " or ask for no filter: --security-opt seccomp=unconfined",
            ) from error
        raise _unusable(
            f"libseccomp {libseccomp.version()} refuses it: {error.strerror}",
            "simplify the rule, or use a newer libseccomp",
        ) from error


def _flags(seccomp: LinuxSeccomp) -> FilterFlag:
    """Return the flags for seccomp(2)."""
    # Without a word about flags, runc and crun spare the container the cost of SSBD.
    named = (SeccompFlag.SPEC_ALLOW,) if seccomp.flags is None else seccomp.flags
    flags = FilterFlag(0)
    for flag in named:
        flags |= FilterFlag[flag.value]
    if any(rule.action is SeccompAction.NOTIFY for rule in seccomp.syscalls):
        flags |= FilterFlag.SECCOMP_FILTER_FLAG_NEW_LISTENER
        if FilterFlag.SECCOMP_FILTER_FLAG_TSYNC in flags:
            # Both want the return value; this flag settles it. Source: seccomp(2).
            flags |= FilterFlag.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    return flags


def _unusable(cause: str, remedy: str) -> NestboxError:
    return ProfileError("cannot compile the seccomp filter", cause=cause, remedy=remedy)


def _build(seccomp: LinuxSeccomp) -> KeptFilter:
    """Return the program, with libseccomp's OSError where it fails."""
    unknown: list[str] = []
    default = _action_code(seccomp.default_action, seccomp.default_errno_ret)
    native = libseccomp.native_architecture()
    others = [token for token in _architectures(seccomp, unknown) if token != native]
    with Filter(default) as wanted, Filter(default) as foreign:
        _add_rules(wanted, seccomp, default, unknown, newer=True)
        if others:
            # Apart: libseccomp translates numbers by name, and a newer syscall has none there.
            for token in others:
                foreign.add_architecture(token)
            foreign.remove_architecture(native)
            _add_rules(foreign, seccomp, default, [], newer=False)
            wanted.merge(foreign)
        if sum(len(rule.names) for rule in seccomp.syscalls) > _FEWEST_FOR_TREE:
            wanted.set_attribute(Attribute.CTL_OPTIMIZE, 2)
        program = wanted.export()
    if _refuses_newer(seccomp, default):
        program = prefix_enosys(program, _newest(seccomp, [native, *others]))
    length = len(program) // _INSTRUCTION_BYTES
    if length > MAX_INSTRUCTIONS:
        raise _unusable(
            f"it has {length} instructions and the kernel takes {MAX_INSTRUCTIONS}",
            "name fewer syscalls, argument values or architectures",
        )
    return KeptFilter(
        library=identify(libseccomp.library_path()),
        version=libseccomp.version(),
        program=program,
        flags=int(_flags(seccomp)),
        unknown=tuple(unknown),
    )


def _refuses_newer(seccomp: LinuxSeccomp, default: int) -> bool:
    """Return whether a syscall that no rule names fails in another way than with ENOSYS."""
    return (
        seccomp.default_action not in _PERMISSIVE
        and default != ActionCode.SCMP_ACT_ERRNO | errno.ENOSYS
        and bool(seccomp.syscalls)
    )


def _newest(seccomp: LinuxSeccomp, architectures: list[int]) -> dict[int, int]:
    """Return the highest number that the rules name, by architecture."""
    names = {name for rule in seccomp.syscalls for name in rule.names}
    known = [name for name in names if libseccomp.resolve_syscall(name) is not None]
    x32 = libseccomp.resolve_architecture(SeccompArchitecture.X32.library_name)
    newest = {}
    for token in architectures:
        numbers = [libseccomp.syscall_number(name, token) for name in known]
        if token == architectures[0]:
            numbers += [libseccomp.newer_syscall(name) for name in names.difference(known)]
        found = [number for number in numbers if number is not None]
        if found and token != x32:  # has no number of its own in seccomp_data.arch
            newest[token] = max(found)
    return newest


def _architectures(seccomp: LinuxSeccomp, unknown: list[str]) -> list[int]:
    """Return the tokens of the filter's architectures; names without one go to unknown."""
    tokens = []
    for architecture in dict.fromkeys(seccomp.architectures):
        token = libseccomp.resolve_architecture(architecture.library_name)
        if token:
            tokens.append(token)
        else:
            unknown.append(architecture.value)
    return tokens


def _add_rules(
    target: Filter, seccomp: LinuxSeccomp, default: int, unknown: list[str], *, newer: bool
) -> None:
    """Add every rule that says something else than the default."""
    for rule in seccomp.syscalls:
        action = _action_code(rule.action, rule.errno_ret)
        for name in rule.names:
            number = libseccomp.resolve_syscall(name)
            if number is None and newer:
                number = libseccomp.newer_syscall(name)
            if number is None:
                if name not in unknown:
                    unknown.append(name)
            elif action != default:  # libseccomp refuses a rule that repeats the default
                for comparisons in _comparisons(rule):
                    target.add_rule(action, number, comparisons)


def _comparisons(rule: LinuxSyscall) -> list[list[Comparison]]:
    """Return the alternatives under which a rule matches, each a list of what must hold.

    Comparisons of one rule must all hold, but where two are about the same argument each is an
    alternative: what runc and crun made of it, and profiles rely on.
    """
    every = [
        Comparison(arg.index, OperatorCode[arg.op.value], arg.value, arg.value_two)
        for arg in rule.args
    ]
    if len({arg.index for arg in rule.args}) < len(rule.args):
        return [[comparison] for comparison in every]
    return [every]


def _action_code(action: SeccompAction, code: int | None) -> int:
    """Return the value a filter returns for an action; without a code, errno is EPERM."""
    value = int(ActionCode[action.value])
    if action in ERRNO_ACTIONS:
        return value | (errno.EPERM if code is None else code)
    return value
