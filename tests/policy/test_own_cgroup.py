"""A cgroup of its own for a container that may make others in it."""

from __future__ import annotations

import msgspec

from nestbox.outer.facts import Cgroup, CgroupMode, OuterEnvironment
from nestbox.policy.cgroups import decide_limits
from nestbox.policy.decision import Outcome
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.policy.own_cgroup import own_cgroups
from nestbox.policy.request import RunRequest, SecurityOptions
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import ask, change, full_root, hierarchy, reference_machine, v2

WRITABLE = SecurityOptions(writable_cgroups=True)


def choose(
    environment: OuterEnvironment, request: RunRequest, profile: str = "default"
) -> tuple[tuple[CgroupSpec, ...], list[Outcome], str]:
    """Return the cgroups, and outcome and rung of the decision about them, if there is one."""
    chosen = load_shipped(profile)
    assert chosen is not None
    limited, _ = decide_limits(request, chosen, environment)
    specs, decisions = own_cgroups(request, chosen, environment, limited)
    return specs, [one.outcome for one in decisions], "".join(one.chosen for one in decisions)


def test_who_may_only_look_gets_none() -> None:
    assert choose(reference_machine(), ask()) == ((), [], "")


def test_on_version_1_there_is_one_in_every_hierarchy_and_the_cpuset_is_filled() -> None:
    machine = reference_machine()
    assert machine.cgroup is not None
    cpuset = (*machine.cgroup.hierarchies, hierarchy("cpuset"))
    known = msgspec.structs.replace(machine.cgroup, hierarchies=cpuset)
    specs, outcomes, _ = choose(change(machine, cgroup=known), ask(), "privileged")
    assert outcomes == [Outcome.GRANTED]
    assert {spec.parent for spec in specs} == {one.directory for one in cpuset}
    assert [spec.parent for spec in specs if spec.fill] == [cpuset[-1].directory]


def test_a_limit_and_it_share_a_cgroup() -> None:
    request = ask(memory_bytes=1 << 26, security=WRITABLE)
    specs, _, _ = choose(reference_machine(), request)
    parents = [spec.parent for spec in specs]
    assert len(parents) == len({*parents})
    (limited,) = [spec for spec in specs if spec.settings]
    assert limited.settings == (("memory.limit_in_bytes", str(1 << 26)),)


def test_on_version_2_the_controllers_are_enabled_for_it() -> None:
    (spec,), outcomes, _ = choose(full_root(), ask(), "privileged")
    assert outcomes == [Outcome.GRANTED]
    assert spec.version == 2
    assert {*spec.enable} <= {"memory", "cpu", "pids"}
    assert spec.divide  # the container can hand them on


def test_where_it_cannot_be_made_ours_is_shared_and_that_is_told() -> None:
    environment = change(full_root(), cgroup=v2(writable=False))
    specs, outcomes, rung = choose(environment, ask(), "privileged")
    assert (specs, outcomes) == ((), [Outcome.GRANTED])
    assert rung.startswith("shares ours in ")


def test_without_cgroups_there_is_nothing_to_say() -> None:
    none = Cgroup(mode=CgroupMode.NONE, hierarchies=())
    assert choose(change(full_root(), cgroup=none), ask(), "privileged")[:2] == ((), [])
