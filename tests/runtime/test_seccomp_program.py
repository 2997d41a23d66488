"""What compiled filters decide, by running their instructions on chosen syscalls."""

from __future__ import annotations

import errno
import itertools
import json
import struct
import sys
from pathlib import Path

import pytest

from nestbox.errors import ProfileError
from nestbox.kernel import libseccomp
from nestbox.kernel.libseccomp import ActionCode, FilterFlag, OperatorCode
from nestbox.oci.seccomp import (
    LinuxSeccomp,
    LinuxSeccompArg,
    LinuxSyscall,
    SeccompAction,
    SeccompArchitecture,
    SeccompFlag,
    SeccompOperator,
)
from nestbox.oci.seccomp_profile import parse_profile
from nestbox.policy.seccomp import resolve
from nestbox.runtime.seccomp import compile_filter, read_profile
from nestbox.runtime.seccomp_compile import MAX_INSTRUCTIONS

SHIPPED = Path(__file__).parents[2] / "profiles" / "seccomp"
ADMIN = frozenset({"CAP_SYS_ADMIN"})
NONE: frozenset[str] = frozenset()
ARCHITECTURES = ["x86_64", "aarch64", "riscv64"]  # all of one byte order
WITH_SUB_ARCHITECTURES = [  # filter, machine, architecture of the caller
    *(("default", machine, machine) for machine in ARCHITECTURES),
    *(("strict", machine, machine) for machine in ARCHITECTURES),
    ("default", "x86_64", "x86"),
    ("default", "aarch64", "arm"),
]
HIGH = 1 << 32  # the kernel looks at the low half of an int argument
ALLOW = int(ActionCode.SCMP_ACT_ALLOW)

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="filters foreign byte orders")


def error(code: int) -> int:
    return ActionCode.SCMP_ACT_ERRNO | code


def decide(program: bytes, architecture: str, syscall: str | int, *arguments: int) -> int:
    """Return what the filter returns for a call. Source: kernel/seccomp.c, struct seccomp_data."""
    token = libseccomp.resolve_architecture(architecture)
    number = libseccomp.syscall_number(syscall, token) if isinstance(syscall, str) else syscall
    assert number is not None
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, token, 0, *padded)
    return interpret(program, data)


def interpret(program: bytes, data: bytes) -> int:
    """Return the result of classic BPF, of the instructions that libseccomp makes."""
    position = accumulator = 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("<HBBI", program, position * 8)
        position += 1
        match code:
            case 0x06:
                return int(operand)
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x05:
                position += operand
            case 0x15 | 0x25 | 0x35 | 0x45:
                holds = {
                    0x15: accumulator == operand,
                    0x25: accumulator > operand,
                    0x35: accumulator >= operand,
                    0x45: bool(accumulator & operand),
                }[code]
                position += if_true if holds else if_false
            case _:
                raise AssertionError(f"unexpected instruction {code:#x}")


def shipped(name: str, architecture: str, capabilities: frozenset[str] = NONE) -> bytes:
    profile = read_profile(str(SHIPPED / f"{name}.json"))
    resolved = resolve(profile, capabilities=capabilities, machine=architecture, kernel=(6, 18))
    return compile_filter(resolved, cache_directory=None).program


def compiled(*rules: LinuxSyscall, **top: object) -> bytes:
    settings = {"default_action": SeccompAction.ERRNO, "default_errno_ret": errno.ENOSYS} | top
    return compile_filter(
        LinuxSeccomp(syscalls=rules, **settings),  # type: ignore[arg-type]
        cache_directory=None,
    ).program


def allow(*names: str, args: tuple[LinuxSeccompArg, ...] = ()) -> LinuxSyscall:
    return LinuxSyscall(names=names, action=SeccompAction.ALLOW, args=args)


def compare(index: int, op: SeccompOperator, value: int, two: int = 0) -> LinuxSeccompArg:
    return LinuxSeccompArg(index=index, value=value, value_two=two, op=op)


@pytest.mark.parametrize(("name", "machine", "architecture"), WITH_SUB_ARCHITECTURES)
def test_shipped_filter_tells_allowed_refused_and_unknown_apart(
    name: str, machine: str, architecture: str
) -> None:
    program = shipped(name, machine)
    for syscall in ("getpid", "read", "openat", "execve", "clock_gettime", "exit_group"):
        assert decide(program, architecture, syscall) == ALLOW
    for syscall in ("mount", "unshare", "setns", "bpf", "keyctl", "io_uring_setup", "umount2"):
        assert decide(program, architecture, syscall) == error(errno.EPERM)
    assert decide(program, architecture, "clone3") == error(errno.ENOSYS)
    assert decide(program, architecture, 1000) == error(errno.ENOSYS)


@pytest.mark.parametrize(("name", "machine", "architecture"), WITH_SUB_ARCHITECTURES)
def test_shipped_filter_refuses_each_new_namespace_of_clone(
    name: str, machine: str, architecture: str
) -> None:
    program = shipped(name, machine)
    namespaces = [0x20000, *(1 << bit for bit in range(25, 31))]
    thread = 0x3D0F00
    for plain in (17, thread, HIGH | 17 if architecture == machine else 17):
        assert decide(program, architecture, "clone", plain) == ALLOW
        for flag in namespaces:
            assert decide(program, architecture, "clone", plain | flag) == error(errno.EPERM)
    every = sum(namespaces)
    assert decide(program, architecture, "clone", 17 | every) == error(errno.EPERM)


def test_sys_admin_opens_namespaces_and_mounts() -> None:
    program = shipped("default", "x86_64", ADMIN)
    assert decide(program, "x86_64", "clone", 0x10000011) == ALLOW
    for syscall in ("clone3", "unshare", "setns", "mount", "open_tree", "fsopen", "pivot_root"):
        assert decide(program, "x86_64", syscall) == ALLOW


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64", "riscv64"])
@pytest.mark.parametrize("junk", [0, HIGH, 0xFFFF_FFFF << 32])
def test_default_refuses_two_socket_families_whatever_the_upper_half_says(
    architecture: str, junk: int
) -> None:
    program = shipped("default", architecture)
    for family in range(64):
        expected = error(errno.EPERM) if family in (38, 40) else ALLOW
        assert decide(program, architecture, "socket", junk | family, 1) == expected


@pytest.mark.parametrize("junk", [0, HIGH])
def test_strict_allows_local_and_internet_sockets_but_not_raw_ones(junk: int) -> None:
    program = shipped("strict", "x86_64")
    flags = (0, 0o2000000, 0o4000)  # SOCK_CLOEXEC, SOCK_NONBLOCK
    for family, kind, flag in itertools.product(range(64), range(16), flags):
        result = decide(program, "x86_64", "socket", junk | family, kind | flag)
        if family == 1 or (family in (2, 10) and kind in (1, 2)):
            assert result == ALLOW
        elif family in (2, 10):
            assert result == error(errno.EPERM)
        else:
            assert result == error(errno.EAFNOSUPPORT)


@pytest.mark.parametrize(
    ("name", "harmless", "architecture"),
    [("default", 0x20008, "x86_64"), ("default", 0x20008, "x86"), ("strict", 0, "x86_64")],
)
def test_personality_is_limited_to_harmless_values(
    name: str, harmless: int, architecture: str
) -> None:
    program = shipped(name, "x86_64")
    assert decide(program, architecture, "personality", 0xFFFF_FFFF) == ALLOW
    for value in (0, 8, 0x20000, 0x20008):
        expected = error(errno.EPERM) if value & ~harmless else ALLOW
        assert decide(program, architecture, "personality", value) == expected
    for value in (1, 6, 9, 0x40000, 0x40008, 0x400000, 0x7FFFFFFF):
        assert decide(program, architecture, "personality", value) == error(errno.EPERM)


@pytest.mark.parametrize("capabilities", [NONE, ADMIN], ids=["none", "admin"])
@pytest.mark.parametrize("name", ["default", "strict"])
@pytest.mark.parametrize(
    "machine", [*ARCHITECTURES, "i686", "armv7l", "ppc64le", "mips64el", "loongarch64"]
)
def test_shipped_filter_fits_the_kernel(
    machine: str, name: str, capabilities: frozenset[str]
) -> None:
    assert len(shipped(name, machine, capabilities)) // 8 < MAX_INSTRUCTIONS


def test_every_name_of_the_shipped_filters_is_a_known_syscall() -> None:
    for name in ("default", "strict"):
        profile = read_profile(str(SHIPPED / f"{name}.json"))
        named = {entry for rule in profile.rules for entry in rule.syscall.names}
        foreign = {
            entry
            for rule in profile.rules
            if rule.includes.architectures
            for entry in rule.syscall.names
        }
        unresolved = {entry for entry in named if libseccomp.resolve_syscall(entry) is None}
        newer = {entry for entry in named if libseccomp.newer_syscall(entry) is not None}
        assert unresolved <= newer | foreign


def test_newer_numbers_agree_with_libseccomp_where_it_knows_them() -> None:
    native = libseccomp.native_architecture()
    known = [n for n in libseccomp.NEWER_SYSCALLS if libseccomp.resolve_syscall(n) is not None]
    for name in known:
        assert libseccomp.syscall_number(name, native) == libseccomp.newer_syscall(name)
    numbers = list(libseccomp.NEWER_SYSCALLS.values())
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_syscall_newer_than_libseccomp_is_compiled_for_the_native_architecture() -> None:
    native = next(a for a in ARCHITECTURES if libseccomp.resolve_architecture(a) == NATIVE)
    program = compiled(allow("file_setattr", "read"), architectures=tuple(SeccompArchitecture)[:3])
    assert decide(program, native, 469) == ALLOW
    assert decide(program, native, 470) == error(errno.ENOSYS)


NATIVE = libseccomp.native_architecture()


def test_unknown_syscall_is_left_out_and_reported_once() -> None:
    rules = (allow("read", "frobnicate", "re\0ad", "with space"), allow("frobnicate"))
    seccomp = LinuxSeccomp(default_action=SeccompAction.KILL_PROCESS, syscalls=rules)
    result = compile_filter(seccomp, cache_directory=None)
    assert result.unknown == ("frobnicate", "re\0ad", "with space")
    assert decide(result.program, "x86_64", "read") == ALLOW


@pytest.mark.parametrize(
    ("op", "two", "matches"),
    [
        (SeccompOperator.EQ, 0, {5}),
        (SeccompOperator.NE, 0, {0, 4, 6, 1 << 40, (1 << 40) + 5}),
        (SeccompOperator.LT, 0, {0, 4}),
        (SeccompOperator.LE, 0, {0, 4, 5}),
        (SeccompOperator.GT, 0, {6, 1 << 40, (1 << 40) + 5}),
        (SeccompOperator.GE, 0, {5, 6, 1 << 40, (1 << 40) + 5}),
        (SeccompOperator.MASKED_EQ, 4, {4, 6}),
    ],
)
def test_comparison_means_what_the_specification_says(
    op: SeccompOperator, two: int, matches: set[int]
) -> None:
    program = compiled(allow("dup3", args=(compare(1, op, 5, two),)))
    for value in (0, 4, 5, 6, 1 << 40, (1 << 40) + 5):
        expected = ALLOW if value in matches else error(errno.ENOSYS)
        assert decide(program, "x86_64", "dup3", 0, value) == expected


def test_comparisons_of_several_arguments_must_all_hold() -> None:
    both = (compare(0, SeccompOperator.EQ, 1), compare(1, SeccompOperator.EQ, 2))
    program = compiled(allow("dup3", args=both))
    assert decide(program, "x86_64", "dup3", 1, 2) == ALLOW
    assert decide(program, "x86_64", "dup3", 1, 3) == error(errno.ENOSYS)
    assert decide(program, "x86_64", "dup3", 2, 2) == error(errno.ENOSYS)


def test_comparisons_of_one_argument_are_alternatives() -> None:
    either = (compare(0, SeccompOperator.EQ, 1), compare(0, SeccompOperator.EQ, 2))
    program = compiled(allow("dup3", args=either))
    assert decide(program, "x86_64", "dup3", 1) == ALLOW
    assert decide(program, "x86_64", "dup3", 2) == ALLOW
    assert decide(program, "x86_64", "dup3", 3) == error(errno.ENOSYS)


def test_errno_is_eperm_unless_named() -> None:
    refusals = (
        LinuxSyscall(names=("dup",), action=SeccompAction.ERRNO),
        LinuxSyscall(names=("dup2",), action=SeccompAction.ERRNO, errno_ret=0),
        LinuxSyscall(names=("dup3",), action=SeccompAction.TRACE, errno_ret=7),
    )
    program = compiled(*refusals, default_action=SeccompAction.ALLOW, default_errno_ret=None)
    assert decide(program, "x86_64", "dup") == error(errno.EPERM)
    assert decide(program, "x86_64", "dup2") == error(0)
    assert decide(program, "x86_64", "dup3") == ActionCode.SCMP_ACT_TRACE | 7
    assert decide(program, "x86_64", "read") == ALLOW


@pytest.mark.parametrize(
    ("default", "answer"),
    [
        (SeccompAction.ERRNO, error(errno.EPERM)),
        (SeccompAction.KILL_PROCESS, int(ActionCode.SCMP_ACT_KILL_PROCESS)),
    ],
)
def test_syscall_newer_than_a_refusing_filter_is_answered_with_enosys(
    default: SeccompAction, answer: int
) -> None:
    program = compiled(
        allow("read", "openat2"),
        default_action=default,
        default_errno_ret=None,
        architectures=(
            SeccompArchitecture.X86_64,
            SeccompArchitecture.X86,
            SeccompArchitecture.X32,
        ),
    )
    for architecture in ("x86_64", "x86"):
        assert decide(program, architecture, "openat2") == ALLOW
        assert decide(program, architecture, "mount") == answer
        assert decide(program, architecture, 438) == error(errno.ENOSYS)
        assert decide(program, architecture, 1000) == error(errno.ENOSYS)
    x32 = struct.pack("<iIQ6Q", 0x4000_0000, libseccomp.resolve_architecture("x86_64"), *[0] * 7)
    assert interpret(program, x32) == ALLOW


def test_syscall_that_is_also_multiplexed_is_not_taken_for_a_newer_one() -> None:
    program = compiled(
        allow("read", "shmget"),
        default_errno_ret=None,
        architectures=(SeccompArchitecture.X86_64, SeccompArchitecture.X86),
    )
    assert decide(program, "x86", 395, 0) == ALLOW  # shmget
    assert decide(program, "x86", 403) == error(errno.ENOSYS)


def test_permissive_filter_gains_no_enosys() -> None:
    rule = LinuxSyscall(names=("mount",), action=SeccompAction.ERRNO)
    program = compiled(rule, default_action=SeccompAction.LOG, default_errno_ret=None)
    assert decide(program, "x86_64", 1000) == ActionCode.SCMP_ACT_LOG


@pytest.mark.slow
def test_too_large_a_filter_is_refused_with_its_size() -> None:
    names = read_profile(str(SHIPPED / "default.json")).rules[0].syscall.names
    rules = tuple(
        allow(name, args=tuple(compare(index, SeccompOperator.EQ, i) for index in range(6)))
        for i, name in enumerate(names)
    )
    with pytest.raises(ProfileError, match="instructions and the kernel takes 4096"):
        compiled(*rules)


def test_filter_of_no_rules_compiles() -> None:
    assert decide(compiled(), "x86_64", "read") == error(errno.ENOSYS)


def test_configuration_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ProfileError, match="takes no errno"):
        compiled(default_action=SeccompAction.ALLOW, default_errno_ret=1)


def test_flags_follow_the_configuration() -> None:
    def flags(named: tuple[SeccompFlag, ...] | None, action: SeccompAction) -> int:
        rule = LinuxSyscall(names=("mount",), action=action)
        seccomp = LinuxSeccomp(
            default_action=SeccompAction.ALLOW,
            flags=named,
            syscalls=(rule,),
            listener_path="/run/agent.sock",
        )
        return compile_filter(seccomp, cache_directory=None).flags

    listener = FilterFlag.SECCOMP_FILTER_FLAG_NEW_LISTENER
    tsync = FilterFlag.SECCOMP_FILTER_FLAG_TSYNC
    assert flags(None, SeccompAction.ERRNO) == FilterFlag.SECCOMP_FILTER_FLAG_SPEC_ALLOW
    assert flags((), SeccompAction.ERRNO) == 0
    assert flags((), SeccompAction.NOTIFY) == listener
    assert (
        flags((SeccompFlag.TSYNC,), SeccompAction.NOTIFY)
        == listener | tsync | FilterFlag.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    )


def test_numbers_cover_every_word_of_the_configuration() -> None:
    assert set(ActionCode.__members__) == {action.value for action in SeccompAction}
    assert set(OperatorCode.__members__) == {operator.value for operator in SeccompOperator}
    assert {flag.value for flag in SeccompFlag} <= set(FilterFlag.__members__)


def test_common_profile_with_the_engines_own_words_compiles() -> None:
    """Not their text: the shape that docker and podman write, nulls included."""
    wire = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [
            {
                "architecture": "SCMP_ARCH_X86_64",
                "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            }
        ],
        "syscalls": [
            {"names": ["read", "clone3"], "action": "SCMP_ACT_ALLOW", "args": None},
            {
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}],
            },
        ],
    }
    profile = parse_profile(json.dumps(wire).encode(), source="docker.json")
    resolved = resolve(profile, capabilities=NONE, machine="x86_64", kernel=(6, 1))
    program = compile_filter(resolved, cache_directory=None).program
    assert decide(program, "x86_64", "read") == ALLOW
    assert decide(program, "x86", 359, 1) == ALLOW  # socket
    assert decide(program, "x86_64", "socket", 40) == error(errno.EPERM)
    assert decide(program, "x86_64", 450) == error(errno.ENOSYS)
