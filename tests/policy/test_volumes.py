"""Volumes: where they may lie, in which order, with which attributes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestbox.errors import UsageError
from nestbox.outer.facts import Lsm, OuterEnvironment
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.request import MountRequest
from nestbox.policy.volumes import decide_volumes
from tests.policy.surroundings import ask, change, full_root, mount


def volume(*options: str, **fields: Any) -> MountRequest:
    given: dict[str, Any] = {
        "type": "bind",
        "source": "/src",
        "target": "/dst",
        "options": options,
        "asked_by": "-v /src:/dst",
        "must_exist": False,
    }
    return MountRequest(**(given | fields))


def decide(
    *volumes: MountRequest, environment: OuterEnvironment | None = None, **fields: Any
) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    given = {"new_user_namespace": False} | fields
    return decide_volumes(ask(mounts=volumes), environment or full_root(), **given)


def spec_of(*options: str, **fields: Any) -> MountSpec:
    (spec,), (decision,) = decide(volume(*options, **fields))
    assert decision.outcome is Outcome.GRANTED
    return spec


def refusal_of(*options: str, environment: OuterEnvironment, **fields: Any) -> Decision:
    _, (decision,) = decide(volume(*options), environment=environment, **fields)
    assert decision.outcome is Outcome.REFUSED
    return decision


def test_a_plain_volume_is_recursive_private_and_nodev() -> None:
    spec = spec_of()
    assert (spec.source, spec.target, spec.attributes) == ("/src", "/dst", ("nodev",))
    assert (spec.recursive, spec.propagation, spec.cleared) == (True, "private", ())


def test_dev_by_name_lifts_nodev() -> None:
    assert spec_of("dev").attributes == ()
    assert spec_of("dev").cleared == ("nodev",)


def test_a_container_with_all_devices_has_them_in_volumes_too() -> None:
    (spec,), _ = decide(volume(), nodev=False)
    assert spec.attributes == ()


def test_options_become_attributes() -> None:
    assert spec_of("ro", "noexec", "nosuid").attributes == ("ro", "nosuid", "nodev", "noexec")
    assert not spec_of("bind").recursive


def test_a_tmpfs_is_closed_unless_asked_otherwise() -> None:
    spec = spec_of("size=1m", "exec", type="tmpfs", source="")
    assert spec.attributes == ("nosuid", "nodev")
    assert dict(spec.options) == {"size": "1m", "mode": "1777"}


def test_nearer_to_the_root_comes_first_and_equals_keep_their_order() -> None:
    targets = ["/a/b/c", "/z", "/a/b", "/a"]
    specs, _ = decide(*(volume(target=target) for target in targets))
    assert [spec.target for spec in specs] == ["/z", "/a", "/a/b", "/a/b/c"]


def test_a_target_is_cleaned() -> None:
    assert spec_of(target="//a/./b/../c/").target == "/a/c"


@pytest.mark.parametrize(
    "target", ["/proc", "/proc/", "//proc/sys", "/proc/1/../self", "/a/../proc", "/", "/.", "",
               "a", "/../a", "/a/../../b"]
)  # fmt: skip
def test_where_no_volume_may_lie(target: str) -> None:
    with pytest.raises(UsageError):
        decide(volume(target=target))


@given(st.lists(st.sampled_from(["..", ".", "", "a", "proc", "sys"]), max_size=6))
def test_no_target_leads_above_the_root_or_into_proc(parts: list[str]) -> None:
    try:
        (spec,), _ = decide(volume(target="/" + "/".join(parts)))
    except UsageError:
        return
    assert ".." not in spec.target.split("/")
    assert spec.target != "/"
    assert spec.target.split("/")[1] != "proc"


def test_a_name_that_begins_like_proc_is_no_proc() -> None:
    assert spec_of(target="/process").target == "/process"


def test_two_volumes_with_one_target_are_a_contradiction() -> None:
    with pytest.raises(UsageError, match="same target"):
        decide(volume(), volume(target="/dst/"))


def test_a_named_volume_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="named volumes"):
        decide(volume(source="data"))


def test_relabelling_is_nothing_without_selinux_and_refused_with_it() -> None:
    _, (decision,) = decide(volume("Z"))
    assert "SELinux is not active" in decision.cause
    selinux = Lsm(active=("selinux",), label=None, apparmor_mode=None)
    assert "SELinux" in refusal_of("z", environment=change(full_root(), lsm=selinux)).cause


@pytest.mark.parametrize("word", ["U", "tmpcopyup", "idmap", "shared", "rshared"])
def test_what_is_not_built_is_refused_by_name(word: str) -> None:
    assert refusal_of(word, environment=full_root()).remedy


def test_propagation_inwards_needs_a_source_that_propagates() -> None:
    assert "make-shared /" in refusal_of("rslave", environment=full_root()).remedy
    shared = mount(1, 0, "/", "ext4", propagation=("shared:1",))
    _, (decision,) = decide(volume("rslave"), environment=change(full_root(), mounts=(shared,)))
    assert decision.outcome is Outcome.GRANTED


def test_locked_access_times_are_kept_in_a_user_namespace() -> None:
    mounts = (mount(1, 0, "/", "ext4", options=("rw", "noatime")),)
    environment = change(full_root(), mounts=mounts)
    refused = refusal_of("relatime", environment=environment, new_user_namespace=True)
    assert "noatime" in refused.cause
    (spec,), (kept,) = decide(volume("noatime"), environment=environment, new_user_namespace=True)
    assert kept.outcome is Outcome.GRANTED
    assert "noatime" in spec.attributes
    (decision,) = decide(volume("relatime"), environment=environment)[1]
    assert decision.outcome is Outcome.GRANTED


def test_what_stays_read_only_though_nobody_asked_for_that_is_told() -> None:
    mounts = (mount(1, 0, "/", "ext4"), mount(2, 1, "/src", "ext4", options=("ro",)))
    environment = change(full_root(), mounts=mounts)
    (decision,) = decide(volume(), environment=environment, new_user_namespace=True)[1]
    assert decision.outcome is Outcome.GRANTED
    assert decision.cause == "read-only, as /src is outside"
    assert not decide(volume(), environment=environment)[1][0].cause
    asked = decide(volume("ro"), environment=environment, new_user_namespace=True)[1][0]
    assert not asked.cause


def test_a_locked_flag_cannot_be_taken_back_in_a_user_namespace() -> None:
    mounts = (
        mount(1, 0, "/", "ext4"),
        mount(2, 1, "/src", "ext4", options=("ro", "nosuid")),
    )
    environment = change(full_root(), mounts=mounts)
    for fields in ({"new_user_namespace": True}, {}):
        inner = environment
        if not fields:
            namespace = msgspec.structs.replace(environment.user_namespace, initial=False)
            inner = change(environment, user_namespace=namespace)
        decision = refusal_of("rw", environment=inner, **fields)
        assert "/src" in decision.cause
        assert "ro" in decision.cause
    _, (decision,) = decide(volume("rw"), environment=environment)
    assert decision.outcome is Outcome.GRANTED


def test_a_bind_without_what_is_below_is_refused_in_a_new_user_namespace() -> None:
    decision = refusal_of("bind", environment=full_root(), new_user_namespace=True)
    assert "rbind" in decision.remedy
