"""The program: variables, where it is looked for, terminal, scheduling, labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nestbox.errors import NestboxError, UsageError
from nestbox.oci import linux as oci_linux
from nestbox.oci import process as oci_process
from nestbox.outer.facts import Lsm, OuterEnvironment
from nestbox.policy.config import scheduling
from nestbox.policy.config.variables import variables_of
from nestbox.policy.launch_spec import MemoryPolicySpec, ProcessSpec, SchedulerSpec
from tests.policy.config.cases import OPTIONS, bind, decide, equipped, launch, spec, with_user
from tests.policy.surroundings import ROOT, change, full_root, mount


def process(environment: OuterEnvironment | None = None, **fields: Any) -> ProcessSpec:
    return launch(
        spec(**{f"process__{name}": value for name, value in fields.items()}), environment
    ).process


def test_the_last_of_a_variable_counts_in_the_place_of_the_last() -> None:
    found = process(env=["A=1", "B=2", "A=3", "HOME=/h", "C=x=y", "D="]).environment
    assert found == ("B=2", "A=3", "HOME=/h", "C=x=y", "D=")


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (1001, "/home/alice"), (7, "/")])
def test_home_is_that_of_the_uid_in_the_roots_passwd(uid: int, home: str) -> None:
    for env in (["A=1"], ["A=1", "HOME="]):
        found = process(env=env, user={"uid": uid, "gid": 0}).environment
        assert found == ("A=1", f"HOME={home}")


def test_home_is_that_of_a_passwd_file_which_a_mount_brings() -> None:
    config = spec(process__env=[], mounts=[bind("/run/passwd", "/etc/passwd")])
    found = launch(config, passwd="root:x:0:0::/from/mount:/bin/sh\n").process
    assert found.environment == ("HOME=/from/mount",)


def test_without_a_passwd_file_home_is_the_root() -> None:
    root = msgspec.structs.replace(ROOT, passwd=None)
    assert launch(spec(process__env=[]), root=root).process.environment == ("HOME=/",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "missing '='"),
        ("=hunter2", "name cannot be empty"),
        ("", "missing '='"),
        ("A=hunter2\0", "contains nul byte"),
    ],
)
def test_a_malformed_variable_is_told_without_its_value(text: str, words: str) -> None:
    asked = msgspec.structs.replace(spec().process, env=(text,))
    with pytest.raises(UsageError) as caught:
        variables_of(asked, OPTIONS, None)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_sockets_are_announced_and_further_descriptors_kept() -> None:
    config = spec(process__env=["A=1"])
    found = launch(config, options={"listen_fds": 2, "preserve_fds": 3}).process
    assert {"LISTEN_FDS=2", "LISTEN_PID=1"} <= {*found.environment}
    assert found.preserved == 5
    assert launch(config).process.preserved == 0


@pytest.mark.parametrize(
    ("args", "env", "paths"),
    [
        (["/bin/x"], [], ("/bin/x",)),
        (["./x"], [], ("/w/./x",)),
        (["x"], ["PATH=/a:b:/c/:/a"], ("/a/x", "/c/x")),
        (["x"], ["PATH=/a", "PATH=/b"], ("/b/x",)),
        (["x"], ["PATH="], ()),
    ],
)
def test_the_program_is_looked_for_in_the_containers_path(
    args: list[str], env: list[str], paths: tuple[str, ...]
) -> None:
    assert process(args=args, env=env, cwd="/w").candidates == paths


def test_without_a_path_the_usual_directories_are_looked_through() -> None:
    assert "/usr/bin/x" in process(args=["x"], env=[]).candidates


def test_the_working_directory_is_inside_the_root() -> None:
    assert process(cwd="/../../a/./b").working_directory == "/a/b"


def test_the_terminal_has_its_size_where_both_numbers_are_given() -> None:
    size = {"height": 24, "width": 80}
    assert process(terminal=True, consoleSize=size).console_size == (24, 80)
    assert process(terminal=True, consoleSize={"height": 24, "width": 0}).console_size is None
    assert process(terminal=False, consoleSize=size).console_size is None


def test_scheduling_is_the_kernels_numbers() -> None:
    asked = {
        "policy": "SCHED_DEADLINE",
        "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_RECLAIM"],
        "runtime": 1,
        "deadline": 2,
        "period": 3,
    }
    assert process(scheduler=asked).scheduler == SchedulerSpec(
        policy=6, flags=3, runtime=1, deadline=2, period=3
    )
    assert (
        process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 4}).io_priority == 2 << 13 | 4
    )
    assert (process().scheduler, process().io_priority) == (None, None)


def test_memory_policy_and_personality_are_the_kernels_numbers() -> None:
    config = spec(
        linux__memoryPolicy={
            "mode": "MPOL_BIND",
            "nodes": "0-2,7",
            "flags": ["MPOL_F_STATIC_NODES"],
        },
        linux__personality={"domain": "LINUX32"},
    )
    found = launch(config).process
    assert found.memory_policy == MemoryPolicySpec(mode=2 | 1 << 15, nodes=(0, 1, 2, 7))
    assert found.personality == 8
    assert launch(spec()).process.personality is None


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (scheduling.POLICIES, oci_process.SCHEDULER_POLICIES),
        (scheduling.SCHEDULER_FLAGS, oci_process.SCHEDULER_FLAGS),
        (scheduling.IO_CLASSES, oci_process.IO_PRIORITY_CLASSES),
        (scheduling.MEMORY_MODES, oci_linux.MEMORY_POLICY_MODES),
        (scheduling.MEMORY_FLAGS, oci_linux.MEMORY_POLICY_FLAGS),
        (scheduling.PERSONALITIES, oci_linux.PERSONALITY_DOMAINS),
    ],
)
def test_every_word_of_the_specification_has_a_number(
    table: dict[str, int], names: tuple[str, ...]
) -> None:
    assert {*table} == {*names}


@pytest.mark.parametrize(
    ("header", "table"),
    [
        ("linux/sched.h", scheduling.SCHEDULER_FLAGS),
        ("linux/mempolicy.h", scheduling.MEMORY_FLAGS),
    ],
)
def test_the_numbers_are_those_of_the_kernels_headers(header: str, table: dict[str, int]) -> None:
    text = Path("/usr/include", header).read_text()
    for name, number in table.items():
        found = re.search(rf"define\s+{name}\s+\(?(?:(0x[0-9a-fA-F]+)|1\s*<<\s*(\d+))", text)
        assert found is not None, name
        value = int(found[1], 16) if found[1] else 1 << int(found[2])
        assert value == number, name


def labelled(**lsm: Any) -> OuterEnvironment:
    given = {"active": ("selinux", "apparmor"), "label": None, "apparmor_mode": "unconfined"}
    return change(full_root(), lsm=Lsm(**(given | lsm)))


def test_labels_are_given_where_their_module_is_active() -> None:
    found = process(labelled(), apparmorProfile="docker-default", selinuxLabel="u:r:t:s0")
    assert (found.apparmor, found.selinux) == ("docker-default", "u:r:t:s0")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"apparmorProfile": "x"}, "apparmor: config provided but apparmor not supported"),
        ({"selinuxLabel": "x"}, "selinux label is specified in config, but selinux is disabled"),
    ],
)
def test_a_label_of_a_module_that_is_not_active_is_left_out_and_told(
    fields: Any, words: str
) -> None:
    asked = {f"process__{name}": value for name, value in fields.items()}
    resolution = decide(spec(**asked))
    assert resolution.launch is not None
    found = resolution.launch.process
    assert (found.apparmor, found.selinux, resolution.launch.own_proc) == ("", "", False)
    (warning,) = resolution.warnings
    assert words in warning
    strict = decide(spec(**asked, annotations={"org.nestbox.strict": "true"}))
    assert strict.launch is None


SYSCTL = {"net.ipv4.ip_forward": "1"}


def test_labels_and_sysctls_are_written_through_a_proc_of_our_own() -> None:
    config = spec(linux__sysctl=SYSCTL)
    assert launch(config).own_proc
    assert launch(config).sysctls == (("net/ipv4/ip_forward", "1"),)
    assert launch(spec(process__apparmorProfile="x"), labelled()).own_proc
    assert not launch(spec()).own_proc


def test_a_profile_that_may_misread_such_a_proc_gets_the_outer_one() -> None:
    inside_lxc = labelled(active=("apparmor",), label="lxc-box", apparmor_mode="enforce")
    assert not launch(spec(linux__sysctl=SYSCTL), inside_lxc).own_proc


def test_a_user_namespace_that_gets_no_new_proc_gets_the_outer_one() -> None:
    covered = (
        mount(1, 0, "/", "ext4"),
        mount(2, 1, "/proc", "proc"),
        mount(3, 2, "/proc/kcore", "tmpfs"),
    )
    config = msgspec.structs.replace(with_user(linux__sysctl=SYSCTL), mounts=())
    assert launch(config).own_proc
    assert not launch(config, change(full_root(), mounts=covered)).own_proc


@pytest.mark.parametrize(
    "sysctl",
    [
        {"kernel.shm_rmid_forced\n": "1"},
        {"kernel.core_pattern": "|/bin/x"},
        {"net.ipv4.ip_forward": "1\n2"},
        {"net/../kernel/core_pattern": "x"},
    ],
)
def test_a_sysctl_that_would_reach_further_is_refused(sysctl: dict[str, str]) -> None:
    with pytest.raises(NestboxError, match="sysctl"):
        decide(spec(linux__sysctl=sysctl))


def test_a_sysctl_of_the_runtimes_own_network_is_refused_when_it_is_joined() -> None:
    from nestbox.outer.bundle_facts import NamespaceFacts

    config = spec(
        linux__sysctl=SYSCTL,
        linux__namespaces=[{"type": "mount"}, {"type": "network", "path": "/proc/1/ns/net"}],
        hostname="",
    )
    other = {"/proc/1/ns/net": NamespaceFacts(kind="net")}
    assert launch(config, namespaces=other).sysctls
    own = {"/proc/1/ns/net": NamespaceFacts(kind="net", own=True)}
    with pytest.raises(NestboxError, match="network"):
        launch(config, namespaces=own)


def test_engines_labels_are_kept_in_an_environment_that_has_the_modules() -> None:
    assert process(equipped(full_root()), selinuxLabel="a").selinux == "a"
