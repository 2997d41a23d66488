"""When the processes of our own cgroup may go to a leaf of it, and what is said when not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.outer.facts import (
    Cgroup,
    CgroupManager,
    CgroupRoom,
    OuterEnvironment,
    UserNamespace,
)
from nestbox.policy.cgroup_nesting import LEAF, may_nest
from nestbox.policy.cgroups import decide_limits
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import (
    above,
    ask,
    change,
    full_root,
    namespaced,
    unprivileged_user,
    v2,
)

SCOPE = "/user.slice/app.scope"


def machine(*, uid: int = 0, nested: bool = False, **fields: Any) -> OuterEnvironment:
    """Return a machine of version 2 in whose first cgroup namespace we are, somewhere below."""
    given = {"kind": "domain", "owner": 0, "above": (above("/sys/fs/cgroup", writable=False),)}
    cgroup = msgspec.structs.replace(v2(**(given | fields)), first_namespace=False)
    environment = change(full_root() if uid == 0 else unprivileged_user(), cgroup=cgroup)
    if nested:
        return change(environment, user_namespace=inner(environment.user_namespace))
    assert environment.identity is not None
    return change(environment, identity=msgspec.structs.replace(environment.identity, uid=uid))


def inner(namespace: UserNamespace | None) -> UserNamespace:
    assert namespace is not None
    return msgspec.structs.replace(namespace, initial=False)


def container(**fields: Any) -> OuterEnvironment:
    """Return a container with a cgroup namespace of its own."""
    return change(full_root(), cgroup=namespaced(**fields))


def limit(environment: OuterEnvironment) -> tuple[tuple[CgroupSpec, ...], Decision]:
    profile = load_shipped("default")
    assert profile is not None
    specs, (decision,) = decide_limits(ask(pids_limit=5), profile, environment)
    return specs, decision


OURS = [
    container(),
    machine(delegated=True),
    machine(delegated=True, path=SCOPE),
    machine(uid=1000, owner=1000),
    machine(nested=True, owner=0),
]


@pytest.mark.parametrize("environment", OURS)
def test_a_cgroup_that_is_ours_alone_is_divided(environment: OuterEnvironment) -> None:
    (spec,), decision = limit(environment)
    assert (spec.nest, spec.enable, spec.settings) == (True, ("pids",), (("pids.max", "5"),))
    assert decision.outcome is Outcome.GRANTED
    assert LEAF in decision.chosen
    assert may_nest(environment)


NOT_OURS = [
    machine(),  # root of the machine owns what nobody gave away
    machine(path=SCOPE),
    machine(uid=1000, owner=1000, path=SCOPE),  # of the user's systemd
    machine(uid=1000, owner=0),
    machine(nested=True, owner=65534),
    machine(uid=1000, owner=1000, path=f"/job/{LEAF}"),  # a leaf stays one
    container(managed=True),  # by a systemd in the outer container
    machine(delegated=True, owner=1000),  # to somebody else, who can set the mark himself
    change(full_root(), cgroup=msgspec.structs.replace(namespaced(), first_namespace=None)),
]


@pytest.mark.parametrize("environment", NOT_OURS)
def test_a_cgroup_that_somebody_else_looks_after_is_not(environment: OuterEnvironment) -> None:
    assert not may_nest(environment)


def test_what_systemd_manages_is_refused_with_the_way_to_a_cgroup_of_ones_own() -> None:
    _, decision = limit(machine(uid=1000, owner=1000, path=SCOPE))
    assert decision.outcome is Outcome.REFUSED
    assert "2 processes" in decision.cause
    assert "XDG_RUNTIME_DIR" in decision.remedy
    place = above("/sys/fs/cgroup", writable=False)
    _, decision = limit(machine(path=SCOPE, above=(place,)))
    assert "systemd-run --scope -p Delegate=yes" in decision.remedy


@pytest.mark.parametrize(
    ("fields", "cause", "remedy"),
    [
        ({"closed": ("cgroup.procs",)}, "cgroup.procs is not writable", "chown 0"),
        ({"unseen": 1}, "1 of them of another pid namespace", "from outside"),
        ({"room": CgroupRoom(count=1, file="/f/max")}, "/f/max leaves room for 1", "max > /f/max"),
        ({"room": CgroupRoom(count=0, file="/f/max")}, "/f/max leaves no room", "max > /f/max"),
        ({"kind": "threaded"}, "of type 'threaded'", "another cgroup"),
        ({"controllers": ("cpu",), "above": (above("/x", writable=False),)}, "pids", "+pids"),
    ],
)
def test_what_stops_it_is_named_with_its_remedy(
    fields: dict[str, Any], cause: str, remedy: str
) -> None:
    specs, decision = limit(container(**fields))
    assert not specs
    assert decision.outcome is Outcome.REFUSED
    assert cause in decision.cause
    assert remedy in decision.remedy


def test_without_processes_there_is_nothing_to_move() -> None:
    (spec,), _ = limit(container(processes=0))
    assert not spec.nest


def test_controllers_that_are_enabled_already_need_no_move() -> None:
    (spec,), _ = limit(container(enabled=("pids",)))
    assert (spec.nest, spec.enable) == (False, ())


def test_the_root_of_the_hierarchy_takes_controllers_with_processes() -> None:
    """As a cgroup namespace of who was in it shows it."""
    (spec,), _ = limit(container(kind=""))
    assert (spec.nest, spec.enable, spec.parent) == (False, ("pids",), "/sys/fs/cgroup")


def test_our_own_is_divided_rather_than_the_limits_of_the_outer_one_escaped() -> None:
    place = above("/sys/fs/cgroup/slice", enabled=("pids",))
    (spec,), _ = limit(machine(delegated=True, above=(place,)))
    assert spec.parent == "/sys/fs/cgroup/job"


def test_a_cgroup_above_without_room_is_no_place() -> None:
    full = above("/sys/fs/cgroup", enabled=("pids",), room=CgroupRoom(count=0, file="/f"))
    _, decision = limit(machine(above=(full,)))
    assert decision.outcome is Outcome.REFUSED


def test_where_nothing_of_version_2_is_seen_nothing_is_moved() -> None:
    empty = Cgroup(mode=v2().mode, hierarchies=())
    assert not may_nest(change(full_root(), cgroup=empty))
    assert not may_nest(container(directory=None))


MANAGER = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"


def session(*controllers: str, **fields: Any) -> OuterEnvironment:
    """Return a session of a user, whose own systemd was given these controllers."""
    given = {"path": "/user.slice/session-1.scope", "writable": False}
    environment = machine(uid=1000, **(given | fields))
    assert environment.cgroup is not None
    manager = CgroupManager(directory=MANAGER, controllers=controllers)
    return change(environment, cgroup=msgspec.structs.replace(environment.cgroup, manager=manager))


def test_who_can_ask_a_systemd_of_his_own_gets_a_scope_of_it() -> None:
    (spec,), decision = limit(session("memory", "pids"))
    assert (spec.parent, spec.scope, spec.nest) == (f"{MANAGER}/user.slice", True, False)
    assert decision.outcome is Outcome.GRANTED
    assert "systemd" in decision.chosen


def test_what_was_not_delegated_to_that_systemd_it_cannot_give() -> None:
    _, decision = limit(session("memory"))
    assert decision.outcome is Outcome.REFUSED
    assert "not writable" in decision.cause


def test_a_cgroup_of_our_own_comes_before_a_scope() -> None:
    (spec,), _ = limit(session("pids", writable=True, owner=1000, path="/ours"))
    assert (spec.nest, spec.scope) == (True, False)


def test_a_systemd_is_asked_before_what_it_manages_is_used() -> None:
    place = above(f"{MANAGER}/app.slice", enabled=("pids",))
    terminal = f"{MANAGER}/app.slice/terminal.scope".removeprefix("/sys/fs/cgroup")
    (spec,), _ = limit(session("pids", writable=True, owner=1000, path=terminal, above=(place,)))
    assert spec.scope
    (spec,), _ = limit(
        session("pids", writable=True, owner=1000, path=f"/job.scope/{LEAF}", above=(place,))
    )
    assert (spec.scope, spec.parent) == (False, f"{MANAGER}/app.slice")


def test_where_the_root_of_the_hierarchy_is_not_ours_nobody_goes_there() -> None:
    environment = machine(uid=1000, owner=1000, closed=("cgroup.procs",))
    assert environment.cgroup is not None
    first = msgspec.structs.replace(environment.cgroup, first_namespace=True)
    _, decision = limit(change(environment, cgroup=first))
    assert decision.outcome is Outcome.REFUSED
    assert "cgroup.procs is not writable" in decision.cause
