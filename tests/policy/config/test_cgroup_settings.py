"""What is written for each resource, in both versions."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import ConfigError
from nestbox.oci.resources import LinuxResources
from nestbox.policy.config.cgroup_convert import swap_alone, weight_of_block_io, weight_of_shares
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_settings import ignored, settings
from nestbox.policy.config.cgroup_v2 import needs_domain

V1, V2 = CgroupLocation(version=1), CgroupLocation(version=2)


def resources(**parts: object) -> LinuxResources:
    return msgspec.convert(parts, LinuxResources)


def written(location: CgroupLocation, **parts: object) -> list[tuple[str, str]]:
    return [(one.file, one.value) for one in settings(resources(**parts), location)]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 0), (1, 1), (2, 1), (100, 17), (1024, 100), (262144, 10000), (1 << 40, 10000)],
)
def test_shares_become_a_weight(shares, weight):
    assert weight_of_shares(shares) == weight


def test_weights_grow_with_shares():
    weights = [weight_of_shares(shares) for shares in range(2, 262144, 97)]
    assert weights == sorted(weights)
    assert set(weights) <= set(range(1, 10001))


@pytest.mark.parametrize(("weight", "other"), [(0, 0), (10, 1), (500, 4950), (1000, 10000)])
def test_weights_of_block_devices_are_on_a_line(weight, other):
    assert weight_of_block_io(weight) == other


@pytest.mark.parametrize(
    ("both", "memory", "swap"),
    [(0, -1, -1), (-1, 100, -1), (0, 100, 0), (300, -1, 300), (300, 100, 200), (100, 100, 0)],
)
def test_swap_is_what_memory_leaves_of_both(both, memory, swap):
    assert swap_alone(both, memory) == swap


@pytest.mark.parametrize(
    ("both", "memory", "cause"),
    [
        (100, 0, "unable to set swap limit without memory limit"),
        (100, -2, "invalid memory value"),
        (100, 200, r"memory\+swap limit should be >= memory limit"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(both, memory, cause):
    with pytest.raises(ConfigError, match=cause):
        swap_alone(both, memory)


def test_memory():
    memory = {"limit": 100, "swap": 300, "reservation": 50, "swappiness": 7}
    assert written(V1, memory=memory) == [
        ("memory.limit_in_bytes", "100"),
        ("memory.memsw.limit_in_bytes", "300"),
        ("memory.soft_limit_in_bytes", "50"),
        ("memory.swappiness", "7"),
    ]
    assert written(V2, memory=memory) == [
        ("memory.swap.max", "200"),
        ("memory.max", "100"),
        ("memory.low", "50"),
    ]


def test_memory_without_limit_takes_it_from_swap_too():
    v1, v2 = (settings(resources(memory={"limit": -1}), where) for where in (V1, V2))
    assert [(one.file, one.value, one.optional) for one in v1] == [
        ("memory.limit_in_bytes", "-1", False),
        ("memory.memsw.limit_in_bytes", "-1", True),
    ]
    assert [(one.file, one.value, one.optional) for one in v2] == [
        ("memory.swap.max", "max", True),
        ("memory.max", "max", False),
    ]


def test_no_swap_is_written_as_such():
    assert written(V2, memory={"limit": 100, "swap": 100})[0] == ("memory.swap.max", "0")


def test_the_out_of_memory_killer_can_be_disabled_on_version_1():
    assert written(V1, memory={"disableOOMKiller": True}) == [("memory.oom_control", "1")]
    assert written(V1, memory={"disableOOMKiller": False, "limit": 0, "swap": 0}) == []


@pytest.mark.parametrize("value", [101, 1 << 40])
def test_swappiness_has_a_range(value):
    with pytest.raises(
        ConfigError, match=r"invalid memory swappiness value: .*valid range is 0-100"
    ):
        settings(resources(memory={"swappiness": value}), V1)


def test_swappiness_of_minus_one_is_none():
    assert written(V1, memory={"swappiness": (1 << 64) - 1}) == []


def test_cpu():
    cpu = {
        "shares": 1024, "quota": 50000, "period": 20000, "burst": 10, "idle": 1,
        "realtimeRuntime": 5, "realtimePeriod": 6, "cpus": "0-1", "mems": "0",
    }  # fmt: skip
    assert written(V1, cpu=cpu) == [
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("cpu.shares", "1024"),
        ("cpu.cfs_period_us", "20000"),
        ("cpu.cfs_burst_us", "10"),
        ("cpu.cfs_quota_us", "50000"),
        ("cpu.idle", "1"),
        ("cpu.rt_period_us", "6"),
        ("cpu.rt_runtime_us", "5"),
    ]
    assert written(V2, cpu=cpu) == [
        ("cpu.idle", "1"),
        ("cpu.weight", "100"),
        ("cpu.max.burst", "10"),
        ("cpu.max", "50000 20000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
    ]


@pytest.mark.parametrize(
    ("cpu", "text"),
    [
        ({"quota": 50000}, "50000 100000"),
        ({"period": 20000}, "max 20000"),
        ({"quota": -1, "period": 20000}, "max 20000"),
    ],
)
def test_half_a_quota_is_completed(cpu, text):
    assert written(V2, cpu=cpu) == [("cpu.max", text)]


@pytest.mark.parametrize(("limit", "text"), [(-1, "max"), (0, "1"), (7, "7")])
def test_pids(limit, text):
    for where in (V1, V2):
        assert written(where, pids={"limit": limit}) == [("pids.max", text)]
        assert written(where, pids={}) == []


BLOCK_IO = {
    "weight": 500,
    "leafWeight": 10,
    "weightDevice": [{"major": 8, "minor": 0, "weight": 20, "leafWeight": 30}],
    "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 1}],
    "throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": 2}],
    "throttleReadIOPSDevice": [{"major": 8, "minor": 1, "rate": 3}],
    "throttleWriteIOPSDevice": [{"major": 8, "minor": 1, "rate": 4}],
}


def test_block_devices():
    assert written(V1, blockIO=BLOCK_IO) == [
        ("blkio.weight", "500"),
        ("blkio.leaf_weight", "10"),
        ("blkio.weight_device", "8:0 20"),
        ("blkio.leaf_weight_device", "8:0 30"),
        ("blkio.throttle.read_bps_device", "8:1 1"),
        ("blkio.throttle.write_bps_device", "8:1 2"),
        ("blkio.throttle.read_iops_device", "8:1 3"),
        ("blkio.throttle.write_iops_device", "8:1 4"),
    ]
    assert written(V2, blockIO=BLOCK_IO) == [
        ("io.bfq.weight", "500"),
        ("io.bfq.weight", "8:0 20"),
        ("io.max", "8:1 rbps=1"),
        ("io.max", "8:1 wbps=2"),
        ("io.max", "8:1 riops=3"),
        ("io.max", "8:1 wiops=4"),
    ]


def test_weights_go_to_the_scheduler_that_there_is():
    v1 = [one.otherwise for one in settings(resources(blockIO=BLOCK_IO), V1) if one.otherwise]
    assert v1 == [("blkio.bfq.weight", "500"), ("blkio.bfq.weight_device", "8:0 20")]
    v2 = [one.otherwise for one in settings(resources(blockIO=BLOCK_IO), V2) if one.otherwise]
    assert v2 == [("io.weight", "4950"), ("io.weight", "8:0 102")]


def test_huge_pages_and_their_reservations():
    pages = [{"pageSize": "2MB", "limit": 9}]
    for where, files in (
        (V1, ("hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes")),
        (V2, ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max")),
    ):
        found = settings(resources(hugepageLimits=pages), where)
        assert tuple(one.file for one in found) == files
        assert [one.optional for one in found] == [False, True]


@pytest.mark.parametrize("where", [V1, V2])
def test_a_size_of_huge_pages_is_no_path(where):
    with pytest.raises(ConfigError, match="cannot limit huge pages of the size"):
        settings(resources(hugepageLimits=[{"pageSize": "../x", "limit": 1}]), where)


def test_network_and_rdma():
    rdma = {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}
    network = {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]}
    both = [
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000"),
        ("rdma.max", "mlx4_0 hca_object=0"),
    ]
    assert written(V1, network=network, rdma=rdma) == [
        ("net_cls.classid", "1048577"),
        ("net_prio.ifpriomap", "eth0 500"),
        *both,
    ]
    assert written(V2, network=network, rdma=rdma) == both


def test_unified_is_last_and_by_line():
    unified = {"pids.max": "9", "io.max": "8:0 rbps=1\n8:1 rbps=2\n"}
    assert written(V2, pids={"limit": 5}, unified=unified) == [
        ("pids.max", "5"),
        ("pids.max", "9"),
        ("io.max", "8:0 rbps=1"),
        ("io.max", "8:1 rbps=2"),
    ]


@pytest.mark.parametrize("name", ["../x.y", "a/b.c", "pids", ".max", "pids.", "", "cgroup.procs"])
def test_unified_names_files_of_the_cgroup_only(name):
    with pytest.raises(ConfigError, match="unified resource"):
        settings(resources(unified={name: "1"}), V2)


def test_unified_is_for_version_2():
    with pytest.raises(ConfigError, match="invalid configuration: cannot use unified on cgroup v1"):
        settings(resources(unified={"pids.max": "1"}), V1)


def test_nothing_is_written_without_cgroups_or_resources():
    everything = resources(pids={"limit": 5})
    assert settings(everything, CgroupLocation(version=0)) == ()
    assert settings(None, V1) == ()


def test_what_has_no_effect_is_told():
    some = resources(memory={"kernel": 5, "swappiness": 5}, network={"classID": 1})
    assert ignored(some, V1) == ("Kernel memory settings are ignored and will be removed",)
    assert len(ignored(some, V2)) == 3
    assert ignored(some, CgroupLocation(version=0))[-1].endswith("cgroups are disabled")
    assert ignored(None, V2) == ignored(resources(), V2) == ()


def test_only_some_controllers_need_a_cgroup_that_is_not_threaded():
    assert needs_domain(settings(resources(memory={"limit": 9}), V2))
    assert not needs_domain(settings(resources(cpu={"shares": 9}, pids={"limit": 9}), V2))
