"""Device nodes: which, how they come to be, and how the others are kept away."""

from __future__ import annotations

from typing import Any

import pytest

from nestbox.errors import UsageError
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import Devices, OuterEnvironment
from nestbox.policy.decision import Outcome
from nestbox.policy.devices import DEFAULT, DeviceChoice, decide_devices
from nestbox.policy.request import DeviceRequest
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import (
    ALL,
    DOCKER,
    WORKS,
    ask,
    change,
    device,
    full_root,
    rights,
    without,
)

DEFAULT_PATHS = [path for path, _, _ in DEFAULT]


def choose(
    *devices: DeviceRequest,
    environment: OuterEnvironment | None = None,
    profile: str = "default",
    granted: int = DOCKER,
    **fields: Any,
) -> DeviceChoice:
    chosen = load_shipped(profile)
    assert chosen is not None
    return decide_devices(
        ask(devices=devices),
        chosen,
        environment or full_root(),
        reachable=granted,
        new_user_namespace=fields.get("new_user_namespace", False),
    )


def named(source: str, target: str = "", access: str = "rwm") -> DeviceRequest:
    return DeviceRequest(
        source=source, target=target or source, access=access, asked_by=f"--device {source}"
    )


def test_who_could_make_nodes_gets_binds_of_made_ones_on_a_nodev_dev() -> None:
    choice = choose(granted=DOCKER)
    assert choice.nodev
    assert [one.target for one in choice.devices] == DEFAULT_PATHS
    assert all(one.lent and one.source is None for one in choice.devices)


def test_where_none_can_be_made_the_outer_nodes_are_bound() -> None:
    choice = choose(environment=outer())
    assert choice.nodev
    assert [one.source for one in choice.devices] == DEFAULT_PATHS


def outer(**nodes: Any) -> OuterEnvironment:
    """Return an environment without CAP_MKNOD whose default nodes are changed; None: not there."""
    known = dict(full_root().devices.nodes)  # type: ignore[union-attr]
    for name, node in nodes.items():
        known.pop(f"/dev/{name}")
        if node is not None:
            known[f"/dev/{name}"] = node
    devices = Devices(nodes=known, mknod=WORKS)
    return change(full_root(), devices=devices, capabilities=rights(without(ALL, "CAP_MKNOD")))


@pytest.mark.parametrize(
    ("node", "word"),
    [
        (None, "is no device node"),
        (device(1, 5), "is c 1:5 outside, not c 1:7"),
        (device(1, 7, "EPERM"), "gave EPERM"),
        (device(1, 7, "EACCES"), "gave EACCES"),
    ],
)
def test_a_default_node_that_cannot_be_bound_is_left_out_and_told(node: Any, word: str) -> None:
    choice = choose(environment=outer(full=node))
    assert "/dev/full" not in {one.target for one in choice.devices}
    assert choice.decisions[0].outcome is Outcome.WEAKENED
    assert word in choice.decisions[0].cause
    assert choice.decisions[0].remedy == "outside, run: mknod -m 666 /dev/full c 1 7"
    able = change(outer(full=node), capabilities=rights(ALL))
    privileged = choose(environment=able, profile="privileged", granted=ALL)
    assert "/dev/full" in {one.target for one in privileged.devices}


def test_an_empty_outer_dev_is_no_matter_where_nodes_can_be_made() -> None:
    choice = choose(environment=change(outer(null=None, tty=None), capabilities=rights(ALL)))
    assert [one.target for one in choice.devices] == DEFAULT_PATHS
    assert choice.decisions[0].outcome is Outcome.GRANTED


def test_a_node_that_may_not_be_opened_is_no_better_when_it_is_made() -> None:
    denied = change(outer(full=device(1, 7, "EPERM")), capabilities=rights(ALL))
    choice = choose(environment=denied)
    assert "gave EPERM" in choice.decisions[0].cause


def test_a_default_node_that_opens_only_with_a_terminal_is_bound() -> None:
    choice = choose(environment=outer(tty=device(5, 0, "ENXIO")))
    assert "/dev/tty" in {one.target for one in choice.devices}


def test_without_a_null_device_there_is_no_launch() -> None:
    assert choose(environment=outer(null=None)).decisions[0].outcome is Outcome.REFUSED


def test_nodes_that_were_not_looked_at_are_taken_to_be_there() -> None:
    choice = choose(environment=change(outer(), devices=None))
    assert [one.source for one in choice.devices] == DEFAULT_PATHS
    assert choice.decisions[0].outcome is Outcome.GRANTED


def test_who_cannot_make_nodes_gets_made_ones() -> None:
    choice = choose(granted=without(DOCKER, "CAP_MKNOD"))
    assert not choice.nodev
    assert {one.source for one in choice.devices} == {None}


def test_without_mknod_outside_nothing_is_made() -> None:
    environment = change(full_root(), capabilities=rights(without(ALL, "CAP_MKNOD")))
    assert choose(environment=environment, granted=0).nodev


def test_in_a_new_user_namespace_nothing_is_made() -> None:
    assert choose(granted=0, new_user_namespace=True).nodev


def test_sys_admin_undoes_nodev_and_that_is_recorded() -> None:
    sys_admin = 1 << BY_NAME["CAP_SYS_ADMIN"]
    assert choose(granted=sys_admin).decisions[1].outcome is Outcome.WEAKENED
    assert choose(granted=0).decisions[1].outcome is Outcome.GRANTED
    inside = choose(granted=sys_admin, new_user_namespace=True)
    assert inside.decisions[1].outcome is Outcome.GRANTED


def test_privileged_gets_all_but_the_terminals_of_the_machine() -> None:
    choice = choose(profile="privileged", granted=ALL)
    targets = {one.target for one in choice.devices}
    assert targets == {*DEFAULT_PATHS, "/dev/fuse", "/dev/kvm", "/dev/net/tun"}
    assert not choice.nodev


def test_privileged_names_what_may_not_be_opened() -> None:
    nodes = {"/dev/fuse": device(10, 229, "EPERM"), "/dev/kvm": device(10, 232)}
    environment = change(full_root(), devices=Devices(nodes=nodes, mknod=WORKS))
    choice = choose(profile="privileged", environment=environment, granted=ALL)
    decision = choice.decisions[0]
    assert decision.outcome is Outcome.WEAKENED
    assert "/dev/fuse" in decision.chosen
    assert "/dev/fuse" not in {one.target for one in choice.devices}


def test_a_device_by_name_is_added_with_its_numbers() -> None:
    choice = choose(named("/dev/fuse", "/dev/other"))
    added = choice.devices[-1]
    assert (added.target, added.source, added.major, added.minor) == (
        "/dev/other",
        "/dev/fuse",
        10,
        229,
    )
    assert choice.decisions[-1].outcome is Outcome.GRANTED


def test_a_directory_means_the_devices_below() -> None:
    choice = choose(named("/dev/net", "/dev/nets"), granted=0)
    assert choice.devices[-1].target == "/dev/nets/tun"
    assert choice.devices[-1].source == "/dev/net/tun"


def test_a_device_that_does_not_exist_is_refused() -> None:
    decision = choose(named("/dev/nothing")).decisions[-1]
    assert decision.outcome is Outcome.REFUSED
    assert "/dev/nothing" in decision.cause


def test_a_part_of_a_name_is_not_the_name() -> None:
    assert choose(named("/dev/fu")).decisions[-1].outcome is Outcome.REFUSED


@pytest.mark.parametrize("error", ["EPERM", "ENXIO", "EACCES"])
def test_a_device_that_cannot_be_opened_is_refused_with_the_error(error: str) -> None:
    nodes = {"/dev/fuse": device(10, 229, error)}
    environment = change(full_root(), devices=Devices(nodes=nodes, mknod=WORKS))
    decision = choose(named("/dev/fuse"), environment=environment).decisions[-1]
    assert decision.outcome is Outcome.REFUSED
    assert error in decision.cause


def test_less_access_than_read_and_write_is_refused_since_nothing_enforces_it() -> None:
    assert choose(named("/dev/fuse", access="r")).decisions[-1].outcome is Outcome.REFUSED
    assert choose(named("/dev/fuse", access="rw")).decisions[-1].outcome is Outcome.GRANTED
    privileged = choose(named("/dev/fuse", access="r"), profile="privileged", granted=ALL)
    assert privileged.decisions[-1].outcome is Outcome.GRANTED


@pytest.mark.parametrize(
    "bad",
    [
        named("/dev/fuse", access=""),
        named("/dev/fuse", access="rx"),
        named("/dev/fuse", access="rr"),
        named("fuse"),
        named("/dev/fuse", "/etc/fuse"),
        named("/dev/fuse", "/dev/../etc/fuse"),
    ],
)
def test_a_malformed_device_is_a_usage_error(bad: DeviceRequest) -> None:
    with pytest.raises(UsageError):
        choose(bad)
