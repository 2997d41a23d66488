"""Choosing the rules of a seccomp profile, and what the shipped ones amount to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nestbox.errors import Refused
from nestbox.oci.seccomp import LinuxSeccomp, SeccompAction, SeccompArchitecture
from nestbox.oci.seccomp_profile import SeccompProfile, parse_profile
from nestbox.policy.seccomp import allowed_syscalls, resolve, summarize

SHIPPED = Path(__file__).parents[2] / "profiles" / "seccomp"
NONE: frozenset[str] = frozenset()
MACHINES = ["x86_64", "i686", "aarch64", "armv7l", "riscv64", "s390x", "ppc64le", "loongarch64"]


def shipped(name: str) -> SeccompProfile:
    path = SHIPPED / f"{name}.json"
    return parse_profile(path.read_bytes(), source=str(path))


def profile(*rules: dict[str, object], **top: object) -> SeccompProfile:
    wire = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules} | top
    return parse_profile(json.dumps(wire).encode(), source="test.json")


def rule(name: str, **conditions: object) -> dict[str, object]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW"} | conditions


def chosen(
    source: SeccompProfile,
    *capabilities: str,
    machine: str = "x86_64",
    kernel: tuple[int, int] = (6, 18),
) -> frozenset[str]:
    return allowed_syscalls(
        resolve(source, capabilities=frozenset(capabilities), machine=machine, kernel=kernel)
    )


def test_included_capabilities_must_all_be_granted() -> None:
    source = profile(rule("bpf", includes={"caps": ["CAP_BPF", "CAP_PERFMON"]}), rule("read"))
    assert chosen(source) == {"read"}
    assert chosen(source, "CAP_BPF") == {"read"}
    assert chosen(source, "CAP_BPF", "CAP_PERFMON") == {"read", "bpf"}


def test_one_excluded_capability_is_enough() -> None:
    source = profile(rule("bpf", excludes={"caps": ["CAP_BPF", "CAP_PERFMON"]}))
    assert chosen(source) == {"bpf"}
    assert chosen(source, "CAP_PERFMON") == set()


def test_architecture_is_one_of_the_included_and_none_of_the_excluded() -> None:
    source = profile(
        rule("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        rule("clone", excludes={"arches": ["s390", "s390x"]}),
    )
    assert chosen(source, machine="x86_64") == {"arch_prctl", "clone"}
    assert chosen(source, machine="aarch64") == {"clone"}
    assert chosen(source, machine="s390x") == set()


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [((4, 7), {"old"}), ((4, 8), {"new"}), ((4, 19), {"new"}), ((5, 0), {"new"})],
)
def test_kernel_version_is_compared_as_numbers(kernel: tuple[int, int], expected: set[str]) -> None:
    source = profile(
        rule("new", includes={"minKernel": "4.8"}), rule("old", excludes={"minKernel": "4.8"})
    )
    assert chosen(source, kernel=kernel) == expected


def test_architecture_map_adds_the_native_one_and_those_beside_it() -> None:
    source = profile(
        archMap=[
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": None},
        ]
    )

    def architectures(machine: str) -> tuple[SeccompArchitecture, ...]:
        return resolve(source, capabilities=NONE, machine=machine, kernel=(6, 1)).architectures

    assert architectures("x86_64") == (SeccompArchitecture.X86_64, SeccompArchitecture.X86)
    assert architectures("aarch64") == (SeccompArchitecture.AARCH64,)
    assert architectures("riscv64") == ()


def test_listed_architectures_are_kept() -> None:
    source = profile(architectures=["SCMP_ARCH_ARM"])
    resolved = resolve(source, capabilities=NONE, machine="x86_64", kernel=(6, 1))
    assert resolved.architectures == (SeccompArchitecture.ARM,)


def test_unknown_machine_is_refused_only_when_rules_depend_on_it() -> None:
    assert chosen(profile(rule("read")), machine="alpha") == {"read"}
    with pytest.raises(Refused, match="'alpha'"):
        chosen(profile(rule("read", includes={"arches": ["arm"]})), machine="alpha")


def test_resolving_is_repeatable() -> None:
    first, second = (
        resolve(shipped("default"), capabilities=NONE, machine="x86_64", kernel=(6, 1))
        for _ in range(2)
    )
    assert first == second


GROUPS = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": "mount",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "finit_module",
    "CAP_SYS_NICE": "mbind",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp",
    "CAP_SYS_RAWIO": "iopl",
    "CAP_SYS_TIME": "settimeofday",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}


def refused(seccomp: LinuxSeccomp) -> frozenset[str]:
    return frozenset(
        name
        for entry in seccomp.syscalls
        if entry.action is SeccompAction.ERRNO and entry.errno_ret == 1 and not entry.args
        for name in entry.names
    )


@pytest.mark.parametrize(("capability", "syscall"), GROUPS.items())
def test_default_opens_a_group_with_its_capability(capability: str, syscall: str) -> None:
    source = shipped("default")
    without = resolve(source, capabilities=NONE, machine="x86_64", kernel=(6, 18))
    granted = resolve(
        source, capabilities=frozenset({capability}), machine="x86_64", kernel=(6, 18)
    )
    assert syscall in refused(without)
    assert syscall not in allowed_syscalls(without)
    assert syscall in allowed_syscalls(granted)
    assert syscall not in refused(granted)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("capabilities", [NONE, frozenset(GROUPS)], ids=["none", "all"])
@pytest.mark.parametrize("name", ["default", "strict"])
def test_shipped_filter_never_both_allows_and_refuses_without_arguments(
    name: str, capabilities: frozenset[str], machine: str
) -> None:
    resolved = resolve(shipped(name), capabilities=capabilities, machine=machine, kernel=(6, 18))
    assert not allowed_syscalls(resolved) & refused(resolved)


@pytest.mark.parametrize("machine", MACHINES)
def test_strict_allows_nothing_that_default_does_not(machine: str) -> None:
    strict = chosen(shipped("strict"), *GROUPS, machine=machine)
    assert strict < chosen(shipped("default"), machine=machine)


def test_strict_does_not_grow_with_capabilities() -> None:
    assert chosen(shipped("strict"), *GROUPS) == chosen(shipped("strict"))


def test_strict_refuses_what_opens_the_kernel() -> None:
    dangerous = {
        "add_key", "bpf", "chroot", "io_uring_setup", "keyctl", "mount", "move_mount",
        "open_by_handle_at", "perf_event_open", "pivot_root", "process_vm_writev", "ptrace",
        "request_key", "setns", "unshare", "userfaultfd",
    }  # fmt: skip
    resolved = resolve(shipped("strict"), capabilities=NONE, machine="x86_64", kernel=(6, 18))
    assert dangerous <= refused(resolved)


def test_tracing_is_refused_before_linux_4_8_unless_granted() -> None:
    source = shipped("default")
    assert "ptrace" in chosen(source, kernel=(4, 8))
    assert "ptrace" not in chosen(source, kernel=(4, 7))
    assert "ptrace" in chosen(source, "CAP_SYS_PTRACE", kernel=(4, 7))


def test_default_allows_what_current_systems_use() -> None:
    newer = {
        "cachestat", "fchmodat2", "file_getattr", "futex_requeue", "futex_wait", "futex_waitv",
        "futex_wake", "getxattrat", "landlock_restrict_self", "listmount", "listxattrat",
        "map_shadow_stack", "mseal", "process_mrelease", "setxattrat", "statmount",
    }  # fmt: skip
    allowed = chosen(shipped("default"))
    assert newer <= allowed
    assert len(allowed) > 350


def test_summary_says_which_capabilities_opened_rules() -> None:
    source = shipped("default")
    granted = frozenset({"CAP_SYS_CHROOT", "CAP_CHOWN"})
    resolved = resolve(source, capabilities=granted, machine="x86_64", kernel=(6, 18))
    summary = summarize(source, resolved, name="default", capabilities=granted)
    assert summary.profile == "default"
    assert summary.allowed == len(allowed_syscalls(resolved))
    assert summary.capabilities_on == ("CAP_SYS_CHROOT",)
    assert summary.capabilities_off == tuple(sorted(set(GROUPS) - {"CAP_SYS_CHROOT"}))
    assert summary.default == "SCMP_ACT_ERRNO"
    assert summary.architectures[0] == "SCMP_ARCH_X86_64"
