"""Why no user namespace can be made: each reason that there is, with its remedy."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.kernel.trials import USER_STEPS
from nestbox.outer.facts import (
    Engine,
    EngineKind,
    IdMap,
    Lsm,
    OuterEnvironment,
    Seccomp,
    Subject,
    Trial,
)
from nestbox.policy.decision import Outcome
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
from nestbox.policy.userns import decide_user_namespace
from nestbox.policy.userns_denial import user_namespace_denial
from tests.policy.surroundings import WORKS, ask, change, full_root, unprivileged_user

STEPS = dict.fromkeys(USER_STEPS, WORKS)


def user(error: str | None = None, kind: str = "user", **fields: Any) -> OuterEnvironment:
    """Return a user who cannot make a kind of namespace."""
    environment = unprivileged_user()
    namespaces = environment.namespaces
    assert namespaces is not None
    tried = namespaces.create_with_user | ({kind: Trial(error=error)} if error else {})
    facts = msgspec.structs.replace(
        namespaces, create_with_user=tried, user_steps=fields.pop("steps", STEPS)
    )
    if fields.pop("chrooted", False):
        facts = msgspec.structs.replace(facts, chrooted=True)
    return change(environment, namespaces=facts, **fields)


def failing(step: str, error: str, **fields: Any) -> OuterEnvironment:
    """Return a user for whom one step after the making fails, and those behind it are not tried."""
    steps: dict[str, Trial] = {}
    for name in STEPS:
        steps[name] = Trial(error=error) if name == step else WORKS
        if name == step:
            break
    return user(steps=steps, **fields)


def denial(environment: OuterEnvironment) -> tuple[str, str]:
    found = user_namespace_denial(environment)
    assert found is not None
    return found


def apparmor(mode: str) -> Lsm:
    return Lsm(active=("apparmor",), label=f"docker-default ({mode})", apparmor_mode=mode)


def sysctl(name: str, value: str) -> dict[str, str | None]:
    return {"user.max_user_namespaces": "15000", name: value}


def test_where_everything_works_nothing_is_denied() -> None:
    assert user_namespace_denial(user()) is None


@pytest.mark.parametrize(
    ("environment", "cause", "remedy"),
    [
        (
            user("ENOSPC", sysctls=sysctl("user.max_user_namespaces", "0")),
            "user.max_user_namespaces is 0",
            "as root outside, run: sysctl -w user.max_user_namespaces=15000",
        ),
        (
            user("ENOSPC"),
            "user.max_user_namespaces (15000 for each user here) is reached",
            "sysctl -w user.max_user_namespaces=30000",
        ),
        (
            user("EUSERS", sysctls=sysctl("user.max_user_namespaces", "2147483647")),
            "33 deep",
            "less deep",
        ),
        (
            user("ENOSPC", "net", sysctls=sysctl("user.max_net_namespaces", "0")),
            "user.max_net_namespaces is 0",
            "sysctl -w user.max_net_namespaces=15000",
        ),
        (
            user("EPERM", sysctls=sysctl("kernel.unprivileged_userns_clone", "0")),
            "kernel.unprivileged_userns_clone is 0",
            "as root outside, run: sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (user("EPERM", chrooted=True), "chroot", "pivot_root"),
        (user("EINVAL"), "CONFIG_USER_NS", "kernel"),
        (
            user("EPERM", seccomp=Seccomp(mode=2, filters=1, syscalls={})),
            "a seccomp filter is on us",
            "RestrictNamespaces=no",
        ),
        (
            user(
                "EPERM",
                seccomp=Seccomp(
                    mode=2, filters=1, syscalls={"unshare": Trial(error="EPERM")}
                ),
                engine=Engine(kind=EngineKind.DOCKER, evidence=(), runner=None),
            ),
            "a seccomp filter is on us",
            "docker run --security-opt seccomp=unconfined",
        ),
        (user("EACCES", lsm=apparmor("enforce")), "docker-default", "apparmor=unconfined"),
        (
            user("EACCES", lsm=Lsm(active=("selinux",), label="u:r:t:s0", apparmor_mode=None)),
            "SELinux label u:r:t:s0",
            "label=disable",
        ),
        (
            user("EPERM", lsm=Lsm(active=("capability", "bpf"), label=None, apparmor_mode=None)),
            "security modules are active: bpf",
            "policy",
        ),
        (user("EPERM"), "likely that of a chroot", "pivot_root"),
        (user("EPERM", lsm=None), "was tried and gave EPERM", "seccomp=unconfined"),
    ],
)  # fmt: skip
def test_who_forbids_to_make_one_is_named(
    environment: OuterEnvironment, cause: str, remedy: str
) -> None:
    found = denial(environment)
    assert cause in found[0]
    assert remedy in found[1]


@pytest.mark.parametrize(
    ("step", "error"), [("uid_map", "EPERM"), ("uid_map", "EACCES"), ("rights", "EPERM")]
)
def test_ubuntu_s_restriction_is_seen_by_what_the_namespace_is_good_for(
    step: str, error: str
) -> None:
    restricted = sysctl("kernel.apparmor_restrict_unprivileged_userns", "1")
    cause, remedy = denial(failing(step, error, sysctls=restricted))
    assert "kernel.apparmor_restrict_unprivileged_userns is 1" in cause
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in remedy
    assert "userns," in remedy


def test_a_restriction_that_does_not_hold_us_is_not_blamed() -> None:
    """Ubuntu's sysctl is 1 on each machine, and a profile of nestbox's own lifts it."""
    restricted = sysctl("kernel.apparmor_restrict_unprivileged_userns", "1")
    assert user_namespace_denial(user(sysctls=restricted)) is None


def test_rights_that_are_void_without_a_known_reason_are_said_to_be() -> None:
    cause, remedy = denial(failing("rights", "EPERM"))
    assert "gives no rights" in cause
    assert "apparmor=unconfined" in remedy


def test_a_namespace_inside_that_is_refused_tells_the_same() -> None:
    restricted = sysctl("kernel.apparmor_restrict_unprivileged_userns", "1")
    cause, _ = denial(user("EPERM", "mnt", sysctls=restricted))
    assert "AppArmor" in cause
    assert "mnt" in cause


@pytest.mark.parametrize("error", ["EROFS", "ENOENT"])
def test_a_map_that_cannot_be_written_since_proc_is_not_is_told(error: str) -> None:
    cause, remedy = denial(failing("uid_map", error))
    assert f"/proc/self/uid_map of a new user namespace cannot be written: {error}" in cause
    assert "mount -t proc" in remedy


def test_a_sandbox_in_which_nobody_may_mount_is_named_as_such() -> None:
    cause, remedy = denial(failing("mount", "EPERM"))
    assert "Landlock" in cause
    assert "outside of the sandbox" in remedy


def test_with_every_right_too_a_sandbox_without_mounts_refuses_the_launch() -> None:
    profile = load_shipped("default")
    assert profile is not None
    steps = failing("mount", "EPERM").namespaces
    decision, *_ = decide_user_namespace(
        ask(), profile, change(full_root(), namespaces=steps)
    ).decisions
    assert decision.outcome is Outcome.REFUSED
    assert "Landlock" in decision.cause


def test_apparmor_s_profile_that_denies_mounts_is_named() -> None:
    cause, remedy = denial(failing("mount", "EACCES", lsm=apparmor("enforce")))
    assert "docker-default" in cause
    assert "apparmor=unconfined" in remedy


def test_a_caller_whose_ids_are_not_mapped_can_make_none() -> None:
    inner = msgspec.structs.replace(
        full_root().user_namespace, initial=False, uid_map=(IdMap(inside=0, outside=5, count=1),)
    )
    cause, _ = denial(user("EPERM", user_namespace=inner))
    assert "1000:1000 are not in the map" in cause


def test_reasons_that_hold_together_are_all_named() -> None:
    """One that is left would make the remedy of the others void."""
    cause, remedy = denial(
        user(
            "EPERM",
            sysctls={
                "user.max_user_namespaces": "0",
                "kernel.unprivileged_userns_clone": "0",
                "kernel.apparmor_restrict_unprivileged_userns": "1",
            },
            seccomp=Seccomp(mode=2, filters=1, syscalls={"unshare": Trial(error="EPERM")}),
        )
    )
    for word in ("max_user_namespaces", "userns_clone", "apparmor_restrict", "seccomp filter"):
        assert word in cause
    for word in ("max_user_namespaces", "userns_clone", "apparmor_restrict", "unshare"):
        assert word in remedy


def test_a_kind_that_the_kernel_lacks_is_not_why_a_user_namespace_is_refused() -> None:
    environment = user("EINVAL", "ipc")
    kernel = msgspec.structs.replace(
        environment.kernel, namespaces=("mnt", "pid", "uts", "net", "cgroup", "user")
    )
    assert user_namespace_denial(change(environment, kernel=kernel)) is None


def test_maps_and_a_denial_are_told_together() -> None:
    profile = load_shipped("default")
    assert profile is not None
    request = ask(user_namespace="0:2000:5")
    choice = decide_user_namespace(request, profile, user("EPERM", chrooted=True))
    assert choice.decisions[0].outcome is Outcome.REFUSED
    assert "chroot" in choice.decisions[0].cause
    assert "newuidmap" in choice.decisions[0].cause


def test_reasons_are_looked_for_only_where_something_fails() -> None:
    profile = load_shipped("default")
    assert profile is not None
    request = ask(user_namespace="auto")
    assert Subject.ENGINE not in required_subjects(request, profile, user())
    for environment in (user("EPERM"), failing("rights", "EPERM")):
        assert {Subject.ENGINE, Subject.LSM, Subject.SECCOMP} <= required_subjects(
            request, profile, environment
        )
