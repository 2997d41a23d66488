"""Reading seccomp profiles: what engines write is accepted, a mistake is named with its place."""

from __future__ import annotations

import json

import msgspec
import pytest

from nestbox.errors import ProfileError
from nestbox.oci.seccomp import (
    LinuxSeccomp,
    LinuxSeccompArg,
    LinuxSyscall,
    SeccompAction,
    SeccompArchitecture,
    SeccompFlag,
    SeccompOperator,
    find_problems,
)
from nestbox.oci.seccomp_profile import MAX_PROFILE_BYTES, SeccompProfile, parse_profile

ALLOW_READ = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}


def parse(profile: object) -> SeccompProfile:
    return parse_profile(json.dumps(profile).encode(), source="web.json")


def with_rule(**changes: object) -> dict[str, object]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [ALLOW_READ | changes]}


def test_configuration_keeps_its_wire_form() -> None:
    wire = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_LOONGARCH64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/run/seccomp.sock",
        "listenerMetadata": "x",
        "syscalls": [
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [
                    {"index": 0, "value": 2**64 - 1, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}
                ],
            }
        ],
    }
    seccomp = msgspec.convert(wire, LinuxSeccomp)
    assert msgspec.json.decode(msgspec.json.encode(seccomp)) == wire
    assert seccomp.architectures[1] is SeccompArchitecture.LOONGARCH64
    assert seccomp.flags == (SeccompFlag.LOG,)
    assert seccomp.syscalls[0].args[0].op is SeccompOperator.MASKED_EQ
    assert find_problems(seccomp) == []


def test_plain_runtime_configuration_is_a_profile_without_conditions() -> None:
    profile = parse(with_rule() | {"architectures": ["SCMP_ARCH_X86_64"]})
    assert profile.base.architectures == (SeccompArchitecture.X86_64,)
    assert profile.rules[0].syscall == LinuxSyscall(names=("read",), action=SeccompAction.ALLOW)
    assert profile.rules[0].includes == profile.rules[0].excludes


def test_nulls_and_the_old_single_name_are_accepted() -> None:
    profile = parse(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [{"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None}],
            "architectures": None,
            "listenerPath": "",
            "syscalls": [
                {
                    "name": "read",
                    "names": None,
                    "action": "SCMP_ACT_ALLOW",
                    "args": None,
                    "comment": "",
                    "includes": {},
                    "excludes": None,
                }
            ],
        }
    )
    assert profile.rules[0].syscall.names == ("read",)
    assert profile.architecture_map == {SeccompArchitecture.RISCV64: ()}
    assert parse({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": None}).rules == ()


def test_named_errno_wins_over_its_number() -> None:
    rule = {"action": "SCMP_ACT_ERRNO", "errno": "EAFNOSUPPORT", "errnoRet": 1}
    profile = parse(with_rule(**rule) | {"defaultErrno": "ENOSYS", "defaultErrnoRet": 1})
    assert profile.rules[0].syscall.errno_ret == 97
    assert profile.base.default_errno_ret == 38


def test_conditions_are_read() -> None:
    conditions = {"caps": ["CAP_BPF"], "arches": ["amd64", "aarch64"], "minKernel": "4.8"}
    includes = parse(with_rule(includes=conditions)).rules[0].includes
    assert includes.capabilities == ("CAP_BPF",)
    assert includes.architectures == (SeccompArchitecture.X86_64, SeccompArchitecture.AARCH64)
    assert includes.kernel == (4, 8)


ARGUMENT = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


@pytest.mark.parametrize(
    ("profile", "cause", "remedy"),
    [
        (with_rule(action="SCMP_ACT_ALOW"), "$.syscalls[0].action: unknown", "SCMP_ACT_ALLOW"),
        (with_rule(action="scmp_act_allow"), "'scmp_act_allow'", "SCMP_ACT_ALLOW"),
        ({"defaultAction": "DENY"}, "$.defaultAction: unknown value 'DENY'", "one of: SCMP_ACT_A"),
        ({}, "missing required field `defaultAction`", "runtime-spec"),
        ([], "$: expected `object`, got `array`", "runtime-spec"),
        (with_rule(exclude={}), "$.syscalls[0]: unknown key 'exclude'", "'excludes'"),
        (with_rule(includes={"cap": []}), "unknown key 'cap'", "'caps'"),
        (with_rule() | {"syscall": []}, "$: unknown key 'syscall'", "'syscalls'"),
        (with_rule(args=[ARGUMENT | {"op": "SCMP_CMP_EQQ"}]), "args[0].op: unknown", "SCMP_CMP_EQ"),
        (with_rule(args=[ARGUMENT | {"index": 6}]), "args[0].index: expected `int` <= 5", "spec"),
        (with_rule(args=[ARGUMENT | {"value": -1}]), "args[0].value: expected `int` >= 0", "spec"),
        (with_rule(args=[ARGUMENT | {"value": 2**64}]), "more than 64 bits", "change"),
        (with_rule(args=[ARGUMENT | {"valuetwo": 1}]), "unknown key 'valuetwo'", "'valueTwo'"),
        (with_rule(errnoRet="1"), "$.syscalls[0].errnoRet: expected `int", "runtime-spec"),
        (with_rule(errnoRet=1), "SCMP_ACT_ALLOW takes no errno", "SCMP_ACT_ERRNO"),
        (with_rule(action="SCMP_ACT_ERRNO", errnoRet=4096), "<= 4095", "runtime-spec"),
        (with_rule(action="SCMP_ACT_ERRNO", errno="EPREM"), "unknown errno 'EPREM'", "'EPERM'"),
        (with_rule(names=[]), "$.syscalls[0].names: names no syscall", "at least one"),
        (with_rule(names=[""]), "names no syscall", "at least one"),
        (with_rule(name="write"), "both `name` and `names`", "keep `names`"),
        (with_rule(includes={"caps": ["SYS_ADMIN"]}), "no capability", "CAP_SYS_ADMIN"),
        (with_rule(includes={"arches": ["amd46"]}), "unknown architecture 'amd46'", "'amd64'"),
        (with_rule(includes={"minKernel": "4"}), "no kernel version: '4'", "4.8"),
        (with_rule(includes={"minKernel": "x.y"}), "no kernel version: 'x.y'", "4.8"),
        (with_rule() | {"architectures": ["SCMP_ARCH_X68"]}, "architectures[0]", "SCMP_ARCH_X86"),
        (with_rule() | {"flags": ["TSYNC"]}, "$.flags[0]: unknown value 'TSYNC'", "TSYNC"),
        (
            with_rule()
            | {
                "architectures": ["SCMP_ARCH_X86"],
                "archMap": [{"architecture": "SCMP_ARCH_X86_64"}],
            },
            "both `archMap` and `architectures`",
            "keep one",
        ),
        (with_rule(action="SCMP_ACT_NOTIFY"), "needs a listener", "listenerPath"),
        (
            with_rule(action="SCMP_ACT_NOTIFY", names=["write"]) | {"listenerPath": "/s"},
            "SCMP_ACT_NOTIFY cannot be used for the write syscall",
            "change",
        ),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be the default", "change"),
        (with_rule() | {"listenerMetadata": "x"}, "there is no `listenerPath`", "listenerPath"),
    ],
)
def test_mistake_is_named_with_its_place_and_remedy(
    profile: object, cause: str, remedy: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(profile)
    assert "web.json" in caught.value.what
    assert cause in caught.value.cause
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "the file is empty"),
        (b" \n\t", "the file is empty"),
        (b"\0\0", "not valid JSON"),
        (b'{"defaultAction": \n "SCMP_ACT_LOG",\n ]', "line 3"),
        (b'{"defaultAction": "SCMP_ACT_ALLOW"', "truncated"),
        (b'{"comment": "\xff"}', "not valid JSON"),
        (b'{"defaultAction": "SCMP_ACT_ALLOW", "comment": ' + b"[" * 100_000, "comment"),
        (b" " * (MAX_PROFILE_BYTES + 1), "larger than"),
        (b"name: default\n", "line 1"),
    ],
    ids=["empty", "blank", "nul", "broken", "cut", "latin1", "deep", "huge", "yaml"],
)
def test_file_that_is_no_profile_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(data, source="web.json")
    assert cause in caught.value.cause
    assert caught.value.remedy


def test_hostile_text_in_a_value_is_quoted() -> None:
    with pytest.raises(ProfileError) as caught:
        parse(with_rule(action="a'b\n\x1b[31m"))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_comparison_of_a_profile_is_that_of_the_configuration() -> None:
    profile = parse(with_rule(args=[ARGUMENT]))
    expected = LinuxSeccompArg(index=0, value=1, op=SeccompOperator.EQ)
    assert msgspec.json.encode(profile.rules[0].syscall.args[0]) == msgspec.json.encode(expected)
