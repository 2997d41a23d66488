"""Which cgroup enforces a limit, or why none can."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.outer.facts import Cgroup, CgroupAbove, CgroupMode, OuterEnvironment
from nestbox.policy.cgroups import decide_limits
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import required_subjects
from tests.policy.surroundings import (
    above,
    ask,
    change,
    full_root,
    hierarchy,
    privileged_docker,
    reference_machine,
    v2,
)

MIB = 1 << 20


def limit(
    environment: OuterEnvironment, profile: str = "default", **fields: Any
) -> tuple[tuple[CgroupSpec, ...], tuple[Decision, ...]]:
    chosen = load_shipped(profile)
    assert chosen is not None
    request = ask(**fields)
    needed = {one.value for one in required_subjects(request, chosen, environment)}
    seen = OuterEnvironment(**{name: getattr(environment, name) for name in needed})
    return decide_limits(request, chosen, seen)


def refused(environment: OuterEnvironment, **fields: Any) -> Decision:
    specs, decisions = limit(environment, **fields)
    assert not specs
    assert decisions[0].outcome is Outcome.REFUSED
    return decisions[0]


def test_without_limits_there_is_no_cgroup() -> None:
    assert limit(full_root()) == ((), ())


def test_on_v1_each_controller_has_a_cgroup_of_its_own() -> None:
    specs, _ = limit(reference_machine(), memory_bytes=64 * MIB, cpus=0.5, pids_limit=10)
    found = {spec.parent: (spec.settings, spec.optional) for spec in specs}
    assert found == {
        "/sys/fs/cgroup/memory/job": (
            (("memory.limit_in_bytes", "67108864"),),
            (("memory.memsw.limit_in_bytes", "134217728"),),
        ),
        "/sys/fs/cgroup/cpu/job": (
            (("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "50000")),
            (),
        ),
        "/sys/fs/cgroup/pids/job": ((("pids.max", "10"),), ()),
    }


def test_on_v2_all_limits_share_a_cgroup() -> None:
    environment = change(full_root(), cgroup=v2(enabled=("cpu", "memory", "pids")))
    (spec,), _ = limit(environment, memory_bytes=64 * MIB, cpus=1.5, pids_limit=10)
    assert spec == CgroupSpec(
        version=2,
        parent="/sys/fs/cgroup/job",
        settings=(
            ("memory.max", "67108864"),
            ("cpu.max", "150000 100000"),
            ("pids.max", "10"),
        ),
        optional=(("memory.swap.max", "67108864"),),
    )


def test_on_v2_controllers_are_enabled_where_no_process_is() -> None:
    (spec,), _ = limit(change(full_root(), cgroup=v2(processes=0)), pids_limit=5)
    assert (spec.parent, spec.enable) == ("/sys/fs/cgroup/job", ("pids",))


def test_in_the_first_cgroup_namespace_the_root_takes_a_child() -> None:
    (spec,), (decision,) = limit(full_root(), pids_limit=5)
    assert (spec.parent, spec.enable) == ("/sys/fs/cgroup", ("pids",))
    assert "/job" in decision.chosen


def test_elsewhere_processes_in_our_own_cgroup_are_in_the_way() -> None:
    elsewhere = msgspec.structs.replace(v2(), first_namespace=False)
    decision = refused(change(full_root(), cgroup=elsewhere), memory_bytes=64 * MIB)
    assert "2 processes" in decision.cause
    assert decision.asked_by == "--memory 64m"


def nested(*places: CgroupAbove, **fields: Any) -> OuterEnvironment:
    """Return a container whose processes are in a child of its own cgroup, as in dind."""
    given = {"path": "/init", "directory": "/sys/fs/cgroup/init", "above": places}
    return change(privileged_docker(), cgroup=v2(**(given | fields)))


@pytest.mark.parametrize(
    ("fields", "enable"),
    [
        ({"enabled": ("cpu", "memory", "pids")}, ()),
        ({"takes_controllers": True}, ("memory", "pids")),
        ({"takes_controllers": True, "enabled": ("pids",)}, ("memory",)),
    ],
)
@pytest.mark.parametrize("controllers", [(), ("memory", "pids")])
def test_processes_in_a_child_cgroup_leave_the_one_above_free(
    fields: dict[str, Any], enable: tuple[str, ...], controllers: tuple[str, ...]
) -> None:
    environment = nested(above("/sys/fs/cgroup", **fields), controllers=controllers)
    (spec,), decisions = limit(environment, memory_bytes=64 * MIB, pids_limit=5)
    assert (spec.parent, spec.enable) == ("/sys/fs/cgroup", enable)
    assert all("beside our own cgroup /init" in one.chosen for one in decisions)


@pytest.mark.parametrize("fields", [{}, {"takes_controllers": True, "writable": False}])
def test_a_cgroup_above_with_processes_or_not_writable_is_no_place(fields: dict[str, Any]) -> None:
    refused(nested(above("/sys/fs/cgroup", **fields)), pids_limit=5)


def test_the_limits_of_v2_share_the_nearest_cgroup_that_has_them_all() -> None:
    """A process is in one cgroup of v2: a limit in a second one would bind nobody."""
    environment = nested(
        above("/sys/fs/cgroup/slice/inner", enabled=("memory", "pids")),
        above("/sys/fs/cgroup/slice", enabled=("memory", "pids")),
        above("/sys/fs/cgroup", enabled=("memory", "pids", "cpu")),
    )
    (spec,), _ = limit(environment, memory_bytes=64 * MIB, pids_limit=5)
    assert spec.parent == "/sys/fs/cgroup/slice/inner"
    (spec,), _ = limit(environment, memory_bytes=64 * MIB, pids_limit=5, cpus=1)
    assert spec.parent == "/sys/fs/cgroup"


def test_a_controller_that_no_cgroup_above_gives_is_refused_alone() -> None:
    place = above("/sys/fs/cgroup", controllers=("memory", "pids"), takes_controllers=True)
    environment = nested(place, controllers=("memory", "pids"))
    (spec,), decisions = limit(environment, pids_limit=5, cpus=1)
    assert [name for name, _ in spec.settings] == ["pids.max"]
    assert {one.subject: one.outcome for one in decisions} == {
        "cgroup.cpu": Outcome.REFUSED,
        "cgroup.pids": Outcome.GRANTED,
    }


def test_the_cgroup_namespace_is_looked_at_only_when_it_decides() -> None:
    profile = load_shipped("default")
    assert profile is not None
    free = change(full_root(), cgroup=v2(processes=0))
    assert "namespaces" not in required_subjects(ask(pids_limit=5), profile, free)
    assert "namespaces" in required_subjects(ask(pids_limit=5), profile, full_root())
    assert "namespaces" not in required_subjects(ask(pids_limit=5), profile, reference_machine())


def test_a_limit_of_a_profile_is_weakened_instead() -> None:
    elsewhere = msgspec.structs.replace(v2(), first_namespace=False)
    specs, decisions = limit(change(full_root(), cgroup=elsewhere), "minimal")
    assert not specs
    assert {one.outcome for one in decisions} == {Outcome.WEAKENED}


@pytest.mark.parametrize(
    ("cgroup", "word"),
    [
        (Cgroup(mode=CgroupMode.NONE, hierarchies=()), "no cgroup file system"),
        (Cgroup(mode=CgroupMode.V1, hierarchies=(hierarchy("cpu"),)), "pids controller"),
        (Cgroup(mode=CgroupMode.V1, hierarchies=(hierarchy("pids", writable=False),)), "writable"),
        (Cgroup(mode=CgroupMode.V1, hierarchies=(hierarchy("pids", directory=None),)), "visible"),
        (v2(writable=False), "writable"),
        (v2(directory=None), "visible"),
    ],
)
def test_a_named_limit_that_cannot_be_enforced_is_refused_with_the_fact(
    cgroup: Cgroup, word: str
) -> None:
    decision = refused(change(full_root(), cgroup=cgroup), pids_limit=5)
    assert word in decision.cause
    assert decision.remedy


def test_more_processors_than_there_are_is_refused() -> None:
    assert "2 processors" in refused(full_root(), cpus=2.5).cause


def test_one_controller_without_a_place_does_not_hide_the_others() -> None:
    cgroup = Cgroup(
        mode=CgroupMode.V1, hierarchies=(hierarchy("pids"), hierarchy("memory", writable=False))
    )
    specs, decisions = limit(
        change(full_root(), cgroup=cgroup), memory_bytes=64 * MIB, pids_limit=5
    )
    assert [spec.settings for spec in specs] == [(("pids.max", "5"),)]
    assert {one.subject: one.outcome for one in decisions} == {
        "cgroup.memory": Outcome.REFUSED,
        "cgroup.pids": Outcome.GRANTED,
    }


def test_unlimited_processes_by_name_lift_the_limit_of_the_profile() -> None:
    specs, decisions = limit(reference_machine(), "minimal", pids_limit=-1)
    assert "pids.max" not in [name for spec in specs for name, _ in spec.settings]
    assert decisions[0].subject == "cgroup.pids"
    assert decisions[0].outcome is Outcome.GRANTED


def test_a_tiny_share_is_not_below_what_the_kernel_takes() -> None:
    (spec,), _ = limit(reference_machine(), cpus=0.001)
    assert spec.settings[1] == ("cpu.cfs_quota_us", "1000")
