"""Whole requests against whole environments: what is given, refused and told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestbox.errors import UsageError
from nestbox.oci.seccomp_profile import SeccompProfile, parse_profile
from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.policy.decision import Intent, Outcome
from nestbox.policy.network import RUNGS
from nestbox.policy.profile import Profile
from nestbox.policy.request import DeviceRequest, LimitRequest, RunRequest, SecurityOptions
from nestbox.policy.resolve import (
    Resolution,
    refusal,
    required_subjects,
    resolve,
    wanted_seccomp,
    warnings,
)
from nestbox.policy.shipped_profiles import load_shipped, seccomp_file
from tests.policy.surroundings import (
    ALL,
    HOST,
    PRESENT_ROOT,
    ROOT,
    ask,
    change,
    docker_container,
    full_root,
    privileged_docker,
    reference_machine,
    rights,
    unprivileged_user,
    without,
)

GOLDEN = Path(__file__).parent / "golden"
ENVIRONMENTS: dict[str, Callable[[], OuterEnvironment]] = {
    "full-root": full_root,
    "reference-machine": reference_machine,
    "docker-container": docker_container,
    "privileged-docker": privileged_docker,
    "unprivileged-user": unprivileged_user,
}


def shipped(name: str) -> Profile:
    profile = load_shipped(name)
    assert profile is not None
    return profile


def seccomp_of(request: RunRequest, profile: Profile) -> SeccompProfile | None:
    want = wanted_seccomp(request, profile)
    if want == "unconfined":
        return None
    file = seccomp_file(want)
    return parse_profile(Path(file).read_bytes(), source=file)


def decide(
    request: RunRequest, environment: OuterEnvironment, profile: str = "default"
) -> Resolution:
    """Resolve with no more facts than are said to be required."""
    chosen = shipped("privileged" if request.privileged else profile)
    seen = OuterEnvironment()
    while True:
        needed = required_subjects(request, chosen, seen)
        found = {one.value: getattr(environment, one.value) for one in needed}
        if change(seen, **found) == seen:
            break
        seen = change(seen, **found)
    root = PRESENT_ROOT if request.root is HOST else ROOT
    seccomp = seccomp_of(request, chosen)
    return resolve(
        request, chosen, seen, root, container_id="0123456789abcdef", seccomp_profile=seccomp
    )


def text_of(resolution: Resolution) -> str:
    lines = [
        f"{one.subject} | {one.request} | {one.asked_by} | {one.outcome} | {one.chosen}"
        + (f" | {one.cause} | {one.remedy}" if one.cause else "")
        for one in resolution.decisions
    ]
    error = refusal(resolution)
    told = [f"refused: {error}"] if error else list(warnings(resolution))
    return "\n".join([*lines, "", *told, ""])


@pytest.mark.parametrize("root", ["directory", "host"])
@pytest.mark.parametrize("profile", ["default", "minimal", "privileged"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_decisions_are_those_of_the_golden_text(name: str, profile: str, root: str) -> None:
    request = ask(root=HOST) if root == "host" else ask()
    text = text_of(decide(request, ENVIRONMENTS[name](), profile))
    file = GOLDEN / f"{name}.{profile}.{root}.txt"
    if os.environ.get("NESTBOX_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("profile", ["default", "minimal", "privileged"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_same_values_give_the_same_answer(name: str, profile: str) -> None:
    first = decide(ask(root=HOST), ENVIRONMENTS[name](), profile)
    assert decide(ask(root=HOST), ENVIRONMENTS[name](), profile) == first


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_short_decision_says_why_and_what_to_do(name: str) -> None:
    short = [
        one
        for profile in ("default", "minimal", "privileged")
        for one in decide(ask(root=HOST), ENVIRONMENTS[name](), profile).decisions
        if one.outcome in {Outcome.WEAKENED, Outcome.REFUSED}
    ]
    assert all(one.cause and one.remedy for one in short)


def test_a_plain_launch_observes_little() -> None:
    profile = shipped("default")
    first = required_subjects(ask(), profile)
    assert first == {
        Subject.KERNEL,
        Subject.CAPABILITIES,
        Subject.IDENTITY,
        Subject.USER_NAMESPACE,
        Subject.CGROUP,
    }
    assert required_subjects(ask(), profile, full_root()) == first


def test_without_sys_admin_user_namespaces_are_looked_at() -> None:
    needed = required_subjects(ask(), shipped("default"), docker_container())
    assert needed >= {Subject.NAMESPACES, Subject.TOOLS, Subject.MOUNTS, Subject.SYSCTLS}


def test_a_missing_fact_is_named() -> None:
    environment = change(full_root(), cgroup=None)
    seccomp = seccomp_of(ask(), shipped("default"))
    with pytest.raises(AssertionError, match="cgroup"):
        resolve(
            ask(), shipped("default"), environment, ROOT, container_id="0", seccomp_profile=seccomp
        )


def test_one_refusal_lists_capabilities_and_aspects_together() -> None:
    request = ask(
        cap_add=("SYS_RESOURCE",),
        memory_bytes=64 << 20,
        sysctls=(("kernel.panic", "1"),),
    )
    environment = change(reference_machine(), cgroup=docker_container().cgroup)
    resolution = decide(request, environment)
    error = refusal(resolution)
    assert resolution.launch is None
    assert error is not None
    for word in ("CAP_SYS_RESOURCE", "--memory", "--sysctl kernel.panic=1"):
        assert word in error.what
    assert "not writable" in error.cause
    assert "sysctl -w kernel.panic=1" in error.remedy


def test_a_refusal_of_one_thing_is_not_labelled() -> None:
    error = refusal(decide(ask(sysctls=(("kernel.panic", "1"),)), full_root()))
    assert error is not None
    assert error.what == "cannot give --sysctl kernel.panic=1"
    assert error.cause.startswith("it belongs to no namespace")


def test_what_is_given_is_not_told_on_stderr() -> None:
    resolution = decide(ask(), full_root())
    assert refusal(resolution) is None
    assert warnings(resolution) == ()


def test_what_is_weaker_for_one_reason_is_one_line() -> None:
    (line,) = warnings(decide(ask(), cgroups_read_only(), "minimal"), "box")
    assert line == (
        "nestbox: cgroup.memory 1g, cgroup.cpu 1 cpus, cgroup.pids 256 processes: "
        "none (our own cgroup /sys/fs/cgroup is not writable; nestbox explain box)"
    )


def cgroups_read_only() -> OuterEnvironment:
    return change(full_root(), cgroup=docker_container().cgroup)


def test_the_namespaces_of_a_plain_container() -> None:
    launch = decide(ask(), full_root(), "minimal").launch
    assert launch is not None
    assert launch.namespaces == ("mnt", "pid", "ipc", "uts", "net", "cgroup")


def test_network_host_keeps_the_outer_network_namespace() -> None:
    launch = decide(ask(network="host"), full_root(), "minimal").launch
    assert launch is not None
    assert "net" not in launch.namespaces
    assert not launch.loopback


def test_without_net_admin_loopback_stays_down_and_that_is_told() -> None:
    environment = change(full_root(), capabilities=rights(without(ALL, "CAP_NET_ADMIN")))
    resolution = decide(ask(network="none"), environment)
    assert resolution.launch is not None
    assert not resolution.launch.loopback
    assert any("network.loopback" in line for line in warnings(resolution))


def test_what_cannot_be_cut_from_bounding_counts_for_devices() -> None:
    """Without CAP_SETPCAP the container's root regains CAP_SYS_ADMIN, which undoes nodev."""
    environment = change(full_root(), capabilities=rights(without(ALL, "CAP_SETPCAP")))
    gains = SecurityOptions(no_new_privileges=False)
    regains = decide(ask(security=gains), environment, "minimal")
    assert regains.launch is not None
    assert all(one.source or one.lent for one in regains.launch.devices)
    assert "devices.enforcement" in [one.subject for one in regains.weakened]
    kept = decide(ask(), environment, "minimal")
    assert "devices.enforcement" not in [one.subject for one in kept.weakened]


def test_ten_thousand_arguments_are_kept() -> None:
    launch = decide(ask("true", *("x" * 100 for _ in range(10_000))), full_root()).launch
    assert launch is not None
    assert len(launch.process.argv) == 10_001


def test_host_name_is_the_first_twelve_characters_of_the_id() -> None:
    launch = decide(ask(), full_root()).launch
    assert launch is not None
    assert launch.hostname == "0123456789ab"
    assert "HOSTNAME=0123456789ab" in launch.process.environment


def test_privileged_with_another_profile_is_a_contradiction() -> None:
    with pytest.raises(UsageError, match="--privileged with --profile"):
        decide(ask(privileged=True, profile="minimal"), full_root())


def test_a_seccomp_file_that_was_not_read_is_the_callers_mistake() -> None:
    request = ask(security=SecurityOptions(seccomp="/x.json"))
    with pytest.raises(AssertionError, match=r"x\.json"):
        resolve(request, shipped("default"), full_root(), ROOT, container_id="0")


def test_unconfined_by_flag_lifts_the_filter_of_the_profile() -> None:
    launch = decide(ask(security=SecurityOptions(seccomp="unconfined")), full_root()).launch
    assert launch is not None
    assert launch.seccomp is None


def test_an_apparmor_profile_that_cannot_be_set_is_refused() -> None:
    request = ask(security=SecurityOptions(apparmor="nestbox-default"))
    error = refusal(decide(request, full_root()))
    assert error is not None
    assert "changes no labels" in error.cause


def test_the_outer_resolver_goes_with_the_outer_network() -> None:
    launch = decide(ask(network="host"), full_root()).launch
    assert launch is not None
    assert "/etc/resolv.conf" in [mount.target for mount in launch.mounts]
    isolated = decide(ask(network="none"), full_root()).launch
    assert isolated is not None
    assert [target for target, _ in isolated.files] == ["/etc/hostname", "/etc/hosts"]


NAMED = {
    "memory_bytes": st.sampled_from([6 << 20, 1 << 30]),
    "cpus": st.sampled_from([0.5, 2.0, 64.0]),
    "pids_limit": st.sampled_from([-1, 1, 1000]),
    "network": st.sampled_from(["none", "host", *RUNGS]),
    "user_namespace": st.sampled_from(["host", "auto", "0:1000:1", "0:0:10"]),
    "user": st.sampled_from(["0", "1000", "alice", "nobody"]),
    "read_only": st.booleans(),
    "sysctls": st.sampled_from([(("kernel.shmmax", "1"),), (("net.a.b", "1"),), (("vm.x", "1"),)]),
    "limits": st.sampled_from(
        [
            (LimitRequest(name="RLIMIT_NOFILE", soft=1, hard=hard, asked_by="--ulimit nofile"),)
            for hard in (1, 20000, None)
        ]
    ),
    "devices": st.sampled_from(
        [
            (DeviceRequest(source=path, target=path, access="rw", asked_by=f"--device {path}"),)
            for path in ("/dev/fuse", "/dev/nothing")
        ]
    ),
}


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(ENVIRONMENTS)),
    profile=st.sampled_from(["default", "minimal", "privileged"]),
    host=st.booleans(),
    fields=st.fixed_dictionaries({}, optional=NAMED),
)
def test_what_is_named_is_met_or_refused_and_what_is_implied_is_never_fatal(
    name: str, profile: str, host: bool, fields: dict[str, Any]
) -> None:
    request = ask(root=HOST, **fields) if host else ask(**fields)
    resolution = decide(request, ENVIRONMENTS[name](), profile)
    by_flag = [one for one in resolution.decisions if one.asked_by.startswith("-")]
    assert all(one.intent is Intent.STRICT for one in by_flag)
    assert not [one for one in by_flag if one.outcome is Outcome.WEAKENED]
    implied = [one for one in resolution.refused if one not in by_flag]
    # What makes any container impossible stops the launch, whoever wanted it.
    assert {one.subject for one in implied} <= {"kernel", "user-namespace"}
    assert (resolution.launch is None) == (refusal(resolution) is not None)
    for one in resolution.decisions:
        assert one.outcome is Outcome.GRANTED or (one.cause and one.remedy)


def test_resolving_a_plain_request_is_quick() -> None:
    from time import perf_counter

    request, profile, environment = ask(), shipped("default"), full_root()
    seccomp = seccomp_of(request, profile)
    times = []
    for _ in range(50):
        start = perf_counter()
        resolve(request, profile, environment, ROOT, container_id="0", seccomp_profile=seccomp)
        times.append(perf_counter() - start)
    # A hundred times what it takes, so that a busy machine does not fail it; a quadratic one does.
    assert min(times) < 0.01
