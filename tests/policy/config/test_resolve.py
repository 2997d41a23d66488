"""A configuration as a whole: capabilities, the root, hooks, the filter, few facts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import ConfigError, UsageError
from nestbox.oci.process import NO_PROCESS
from nestbox.oci.seccomp import SeccompAction
from nestbox.outer.facts import OuterEnvironment, Seccomp, Subject, Trial
from nestbox.policy.config.subjects import required_subjects_config, required_subjects_exec
from nestbox.policy.launch_spec import HookSpec
from nestbox.policy.resolution import refusal
from tests.policy.config.cases import (
    decide,
    engine,
    launch,
    mounts,
    namespaces,
    needed_facts,
    spec,
    with_user,
)
from tests.policy.surroundings import (
    ALL,
    change,
    full_root,
    reference_machine,
    rights,
    without,
)

CAPS = {"bounding": ["CAP_SYS_BOOT", "CAP_KILL"], "effective": [], "permitted": ["CAP_KILL"]}
LEAST = {Subject.KERNEL, Subject.CAPABILITIES, Subject.IDENTITY, Subject.USER_NAMESPACE}


def no_boot() -> OuterEnvironment:
    return change(full_root(), capabilities=rights(without(ALL, "CAP_SYS_BOOT")))


def test_a_capability_that_is_not_here_is_left_out_with_a_warning() -> None:
    resolution = decide(spec(process__capabilities=CAPS), no_boot())
    assert resolution.launch is not None
    assert resolution.launch.capabilities.bounding == 1 << 5
    (warning,) = resolution.warnings
    assert "CAP_SYS_BOOT" in warning
    assert "(bounding)" in warning


def test_the_strict_annotation_refuses_it_together_with_all_else() -> None:
    config = spec(
        process__capabilities=CAPS,
        process__rlimits=[{"type": "RLIMIT_NOFILE", "hard": 1048576, "soft": 1048576}],
        annotations={"org.nestbox.strict": "true"},
    )
    outer = change(
        reference_machine(),
        capabilities=rights(without(ALL, "CAP_SYS_BOOT", "CAP_SYS_RESOURCE")),
    )
    resolution = decide(config, outer)
    assert resolution.launch is None
    error = refusal(resolution)
    assert error is not None
    assert "CAP_SYS_BOOT" in error.what
    assert "RLIMIT_NOFILE" in error.what


def test_capabilities_that_are_absent_are_none() -> None:
    found = launch(spec(process__capabilities=None))
    assert found.capabilities.bounding == found.capabilities.permitted == 0


def test_in_a_user_namespace_every_capability_can_be_given() -> None:
    found = launch(with_user(process__capabilities={"bounding": ["CAP_SYS_BOOT"]}), no_boot())
    assert found.capabilities.bounding == 1 << 22


def test_an_ambient_capability_that_is_not_inheritable_is_warned_about() -> None:
    caps = {"permitted": ["CAP_CHOWN"], "bounding": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]}
    (warning,) = decide(spec(process__capabilities=caps)).warnings
    assert warning.startswith("can't raise ambient capability CAP_CHOWN: ")


@pytest.mark.parametrize(
    ("asked", "outer", "final"),
    [
        ("", "slave", ""),
        ("slave", "slave", "slave"),
        ("rslave", "slave", "rslave"),
        ("shared", "shared", "shared"),
        ("rshared", "shared", "rshared"),
        ("private", "private", ""),
        ("rprivate", "private", ""),
        ("unbindable", "private", "unbindable"),
    ],
)
def test_the_propagation_of_the_root(asked: str, outer: str, final: str) -> None:
    root = launch(spec(linux__rootfsPropagation=asked)).root
    assert (root.outer_propagation, root.propagation) == (outer, final)


def test_the_root_keeps_its_devices_and_programs_that_change_the_user() -> None:
    root = launch(spec()).root
    assert (root.nodev, root.nosuid, root.readonly) == (False, False, True)
    assert root.directory == "/srv/root"


def test_how_the_root_is_entered() -> None:
    assert launch(spec()).root.entry == "pivot"
    moved = launch(spec(), options={"no_pivot": True}, kernel_mounts=("/proc", "/sys")).root
    assert (moved.entry, moved.uncovered) == ("move", ("/proc", "/sys"))
    assert launch(spec(), kernel_mounts=("/proc",)).root.uncovered == ()
    shared = spec(
        linux__namespaces=namespaces("uts"), linux__maskedPaths=[], linux__readonlyPaths=[]
    )
    assert (launch(shared).root.entry, launch(shared).root.readonly) == ("chroot", False)
    joined = spec(linux__namespaces=namespaces("uts", mount="/proc/9/ns/mnt"))
    assert launch(joined).root.entry == "pivot"


def test_a_private_root_is_not_safe_without_pivot() -> None:
    with pytest.raises(UsageError, match="not safe without pivot_root"):
        launch(spec(linux__rootfsPropagation="rprivate"), options={"no_pivot": True})


def test_paths_that_are_covered_or_read_only_are_those_of_the_configuration() -> None:
    config = spec()
    found = launch(config)
    assert found.masked_paths == config.linux.masked_paths
    assert found.readonly_paths == config.linux.readonly_paths
    with pytest.raises(ConfigError, match="mount"):
        launch(spec(linux__namespaces=namespaces("uts")))


def test_hooks_are_run_where_they_belong() -> None:
    hooks = {
        "createContainer": [{"path": "/bin/c", "args": ["c", "1"], "env": ["A=1"], "timeout": 3}],
        "startContainer": [{"path": "/bin/s"}],
        "poststop": [{"path": "/bin/p"}],
    }
    found = launch(spec(hooks=hooks, process__env=["HOME=/h"]))
    assert found.create_hooks == (
        HookSpec(path="/bin/c", argv=("c", "1"), environment=("A=1",), timeout_seconds=3),
    )
    assert found.start_hooks == (
        HookSpec(path="/bin/s", argv=("/bin/s",), environment=("HOME=/h",)),
    )
    assert not found.runtime_hooks


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_the_executor_waits_for_the_hooks_of_the_runtime(kind: str) -> None:
    assert launch(spec(hooks={kind: [{"path": "/bin/x"}]})).runtime_hooks


def notifying(name: str, **more: Any) -> dict[str, Any]:
    rule = {"names": [name], "action": "SCMP_ACT_NOTIFY"}
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], **more}


def test_the_filter_is_that_of_the_configuration() -> None:
    found = launch(spec(linux__seccomp=notifying("mkdir", listenerPath="/run/agent.sock")))
    assert found.seccomp is not None
    assert found.seccomp.listener_path == "/run/agent.sock"
    assert found.seccomp.syscalls[0].action is SeccompAction.NOTIFY


@pytest.mark.parametrize(
    "seccomp", [notifying("mkdir"), notifying("write", listenerPath="/run/agent.sock")]
)
def test_a_filter_that_nobody_could_answer_is_refused(seccomp: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="SCMP_ACT_NOTIFY"):
        launch(spec(linux__seccomp=seccomp))


def filtered(name: str) -> OuterEnvironment:
    return change(
        full_root(),
        capabilities=rights(without(ALL, "CAP_SYS_MODULE")),
        seccomp=Seccomp(mode=2, filters=1, syscalls={name: Trial(error="EPERM")}),
    )


def test_a_session_keyring_is_made_unless_it_is_denied_or_not_wanted() -> None:
    assert launch(spec()).new_keyring
    assert not launch(spec(), options={"no_new_keyring": True}).new_keyring
    resolution = decide(spec(), filtered("keyctl"))
    assert resolution.launch is not None
    assert not resolution.launch.new_keyring
    assert any("keyring" in line for line in resolution.warnings)
    quiet = decide(spec(), filtered("keyctl"), options={"no_new_keyring": True})
    assert quiet.warnings == ()


def test_a_filter_that_denies_the_launch_refuses_it_before_it_begins() -> None:
    resolution = decide(spec(), filtered("mount_setattr"))
    assert resolution.launch is None
    assert "mount_setattr EPERM" in str(refusal(resolution))


def test_a_configuration_that_contradicts_itself_is_told_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        decide(spec(process__cwd="x", process__args=[]))
    assert "cwd" in str(caught.value)
    assert "args" in str(caught.value)


def test_little_is_observed_for_a_plain_container() -> None:
    plain = spec(mounts=[], process__rlimits=[])
    assert required_subjects_config(plain, full_root()) == LEAST
    cgroup = mounts({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})
    found = required_subjects_config(spec(mounts=cgroup), full_root())
    assert found == LEAST | {Subject.LIMITS, Subject.CGROUP}
    trials = {Subject.NAMESPACES, Subject.STORAGE, Subject.SECCOMP, Subject.DEVICES}
    for name in ("spec", "docker", "cri"):
        assert not required_subjects_config(engine(name), full_root()) & trials


def test_without_a_process_there_is_a_container_and_no_program() -> None:
    config = msgspec.structs.replace(spec(), process=NO_PROCESS)
    process = launch(config).process
    assert (process.argv, process.candidates) == ((), ())


def test_a_fact_that_was_not_observed_is_the_callers_mistake() -> None:
    bare = msgspec.structs.replace(needed_facts(spec(), full_root()), limits=None)
    with pytest.raises(AssertionError, match="limits"):
        launch(spec(), bare)


def test_another_program_needs_no_facts_about_mounts() -> None:
    config = engine("docker")
    process = msgspec.structs.replace(config.process, rlimits=(), oom_score_adj=None)
    assert required_subjects_exec(config, process, full_root()) == LEAST | {Subject.LSM}
