"""The resources of a running container with some of them changed."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.oci.resources import LinuxResources
from nestbox.policy.config.cgroup_update import merged


def resources(**parts: object) -> LinuxResources:
    return msgspec.convert(parts, LinuxResources)


PRESENT = resources(
    memory={"limit": 100, "swap": 200},
    cpu={"shares": 10, "quota": 5, "period": 6, "cpus": "0", "burst": 7},
    pids={"limit": 8},
    blockIO={
        "weight": 10,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 1, "leafWeight": 2}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
    },
    devices=[{"allow": False, "access": "rwm"}],
)


def test_an_update_keeps_what_it_does_not_name():
    found = merged(PRESENT, resources(memory={"limit": 150}))
    assert (found.memory.limit, found.memory.swap) == (150, 200)
    assert found.cpu.shares == 10
    assert found.devices == PRESENT.devices
    # These are written only when they are changed.
    assert (found.cpu.cpus, found.cpu.burst, found.pids.limit) == ("", None, None)


@pytest.mark.parametrize(
    ("change", "pair"),
    [
        ({}, (0, 0)),
        ({"quota": 9}, (9, 6)),
        ({"period": 9}, (5, 9)),
        ({"quota": -1, "period": 9}, (-1, 9)),
    ],
)
def test_quota_and_period_keep_each_other(change, pair):
    found = merged(PRESENT, resources(cpu=change))
    assert (found.cpu.quota, found.cpu.period) == pair


def test_unlimited_memory_forgets_the_old_limit_of_swap():
    assert merged(PRESENT, resources(memory={"limit": -1})).memory.swap == 0
    assert merged(PRESENT, resources(memory={"limit": -1, "swap": 300})).memory.swap == 300


def test_idle_takes_the_place_of_shares():
    assert merged(PRESENT, resources(cpu={"idle": 1})).cpu.shares == 0
    assert merged(PRESENT, resources(cpu={"idle": 0, "shares": 7})).cpu.shares == 7


def test_devices_of_an_update_replace_the_same_devices():
    change = {
        "weightDevice": [
            {"major": 8, "minor": 0, "weight": 5},
            {"major": 9, "minor": 0, "weight": 6},
        ],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}],
    }
    found = merged(PRESENT, resources(blockIO=change)).block_io
    assert [(one.major, one.weight, one.leaf_weight) for one in found.weight_device] == [
        (8, 5, 2),
        (9, 6, None),
    ]
    assert [one.rate for one in found.throttle_read_bps_device] == [7]
    assert found.weight == 10
