"""Limits and annotations as properties of a systemd unit."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import ConfigError
from nestbox.oci.resources import LinuxDeviceCgroup, LinuxResources
from nestbox.policy.config.cgroup_devices import device_rules
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.config.cgroup_properties import (
    INFINITY,
    UnitStart,
    bits_of,
    device_properties,
    per_second,
    resource_properties,
    start_properties,
)
from nestbox.policy.config.cgroup_variant import annotated_properties, parse_variant

V1 = CgroupLocation(version=1, manager="systemd", unit="nestbox-web.scope", slice="system.slice")
V2 = msgspec.structs.replace(V1, version=2)


def found(location: CgroupLocation, systemd: int = INFINITY, **parts: object) -> dict[str, object]:
    resources = msgspec.convert(parts, LinuxResources)
    return {
        name: value
        for name, (_, value) in resource_properties(resources, location, systemd=systemd)
    }


def test_a_scope_is_delegated_and_has_the_process():
    start = UnitStart(container="web", pid=7, annotated=(("CollectMode", ("s", "x")),))
    names = dict(start_properties(V2, start))
    assert names["Slice"] == ("s", "system.slice")
    assert names["Delegate"] == ("b", True)
    assert names["PIDs"] == ("au", [7])
    assert names["DefaultDependencies"] == ("b", False)
    assert names["CollectMode"] == ("s", "x")
    assert "IOAccounting" in names
    assert "BlockIOAccounting" in dict(start_properties(V1, start))


def test_a_slice_has_no_process():
    location = msgspec.structs.replace(V2, unit="kube.slice")
    names = dict(start_properties(location, UnitStart(container="web", pid=7)))
    assert names["Wants"] == ("as", ["system.slice"])
    assert not {"PIDs", "Delegate", "Slice"} & set(names)


@pytest.mark.parametrize(("value", "policy"), [("0", "continue"), ("1", "kill")])
def test_the_policy_for_out_of_memory_is_set_at_the_start_only(value, policy):
    start = UnitStart(container="web", pid=7, unified={"memory.oom.group": value})
    assert dict(start_properties(V2, start))["OOMPolicy"] == ("s", policy)
    assert "OOMPolicy" not in dict(start_properties(V2, start, systemd=252))


def test_limits_of_version_2():
    assert found(
        V2,
        memory={"limit": 100, "swap": 300, "reservation": 50},
        cpu={"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1,3", "mems": "0"},
        pids={"limit": 0},
    ) == {
        "MemoryMax": 100,
        "MemoryLow": 50,
        "MemorySwapMax": 200,
        "CPUWeight": 100,
        "CPUQuotaPeriodUSec": 100000,
        "CPUQuotaPerSecUSec": 500000,
        "AllowedCPUs": b"\x0b",
        "AllowedMemoryNodes": b"\x01",
        "TasksMax": 1,
    }


def test_limits_of_version_1():
    assert found(
        V1, memory={"limit": 100, "swap": 300}, cpu={"shares": 9}, blockIO={"weight": 10}
    ) == {"MemoryLimit": 100, "CPUShares": 9, "BlockIOWeight": 10}


def test_no_limit_is_infinity():
    assert found(V2, memory={"limit": -1}, cpu={"quota": -1, "period": 5}, pids={"limit": -1}) == {
        "MemoryMax": INFINITY,
        "MemorySwapMax": INFINITY,
        "CPUQuotaPeriodUSec": 5,
        "CPUQuotaPerSecUSec": INFINITY,
        "TasksMax": INFINITY,
    }


def test_an_older_systemd_is_not_asked_for_what_it_does_not_know():
    cpu = {"quota": 5, "period": 5, "cpus": "0", "idle": 1}
    assert set(found(V2, systemd=241, cpu=cpu)) == {"CPUQuotaPerSecUSec"}


def test_idle_is_a_weight_of_zero():
    assert found(V2, cpu={"idle": 1, "shares": 1024}) == {"CPUWeight": 0}


@pytest.mark.parametrize(
    ("quota", "period", "microseconds"),
    [(100000, 100000, 1000000), (1, 3, 340000), (50000, 0, 500000), (12345, 100000, 130000)],
)
def test_a_quota_is_rounded_up_to_percents(quota, period, microseconds):
    assert per_second(quota, period) == microseconds


@pytest.mark.parametrize(
    ("text", "bits"),
    [("0", b"\x01"), ("1,3-5", b"\x3a"), (" 8 ,", b"\x00\x01"), ("0-15", b"\xff\xff")],
)
def test_lists_become_bits(text, bits):
    assert bits_of(text) == bits


@pytest.mark.parametrize("text", ["", ",", "a", "3-1", "-1", "99999999", "1-2-3"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ConfigError, match="cannot use the list"):
        bits_of(text)


def test_unified_files_with_a_property():
    assert found(
        V2,
        unified={
            "cpu.max": "1000 2000",
            "cpu.weight": "5",
            "cpuset.cpus": "1",
            "memory.high": " 9 ",
            "memory.swap.max": "max",
            "pids.max": "0",
            "hugetlb.2MB.max": "1",
        },
    ) == {
        "CPUQuotaPeriodUSec": 2000,
        "CPUQuotaPerSecUSec": 500000,
        "CPUWeight": 5,
        "AllowedCPUs": b"\x02",
        "MemoryHigh": 9,
        "MemorySwapMax": INFINITY,
        "TasksMax": 1,
    }
    assert found(V2, unified={"cpu.max": "max"})["CPUQuotaPerSecUSec"] == INFINITY
    assert found(V2, unified={"cpu.idle": "1", "cpu.weight": "5"}) == {"CPUWeight": 0}


def test_a_unified_value_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match=r'unified resource "pids\.max"'):
        found(V2, unified={"pids.max": "many"})


def devices(*rules: dict[str, object]) -> list[tuple[str, object]]:
    listed = [msgspec.convert(rule, LinuxDeviceCgroup) for rule in rules]
    return [(name, value) for name, (_, value) in device_properties(device_rules(listed))]


def test_devices_are_an_allow_list():
    (cleared, policy, (name, entries)) = devices(
        {"allow": True, "type": "b", "major": 8, "access": "r"}
    )
    assert cleared == ("DeviceAllow", [])
    assert policy == ("DevicePolicy", "strict")
    assert name == "DeviceAllow"
    assert ("block-8", "r") in entries
    assert ("char-*", "m") in entries
    assert ("/dev/char/1:3", "rwm") in entries


def test_all_devices_need_no_list():
    assert devices({"allow": True, "access": "rwm"}) == [
        ("DeviceAllow", []),
        ("DevicePolicy", "auto"),
    ]


def test_a_deny_list_is_left_to_our_own_program():
    denied = {"allow": False, "type": "c", "major": 200, "minor": 1, "access": "r"}
    assert devices({"allow": True, "access": "rwm"}, denied)[-1] == ("DeviceAllow", [])


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("uint64 5000000", "t", 5000000),
        ("uint64 0x10", "t", 16),
        ("byte 255", "y", 255),
        ("int32 -5", "i", -5),
        ("7", "i", 7),
        ("1.5", "d", 1.5),
        ("double 2", "d", 2.0),
        ("true", "b", True),
        ("boolean false", "b", False),
        ("'inactive-or-failed'", "s", "inactive-or-failed"),
        ('"a\\"b\\n"', "s", 'a"b\n'),
        ("string 'x'", "s", "x"),
        ("objectpath '/a'", "o", "/a"),
        ("['a', 'b']", "as", ["a", "b"]),
        ("[uint32 1, uint32 2]", "au", [1, 2]),
        ("@as []", "as", []),
        ("  'x'  ", "s", "x"),
    ],
)
def test_a_value_is_read(text, signature, value):
    assert parse_variant(text) == (signature, value)


@pytest.mark.parametrize(
    "text",
    [
        "", "'open", "uint32 -1", "byte 256", "99999999999", "true false", "[1, 'a']", "[", "[]",
        "[1", "[1 2]", "uint64", "boolean 1", "nonsense", "'a\0b'", "string x", "__import__('os')",
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse_variant(text)


def test_annotations_become_properties():
    found = annotated_properties(
        {
            "org.systemd.property.TimeoutStopSec": "uint64 3",
            "org.systemd.property.RuntimeMaxUSec": "uint64 3",
            "org.systemd.property.After": "['a.service']",
            "org.example.other": "x",
        }
    )
    assert found == (
        ("After", ("as", ["a.service"])),
        ("RuntimeMaxUSec", ("t", 3)),
        ("TimeoutStopUSec", ("t", 3000000)),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "1"),
        ("Exec.Start", "1"),
        ("ExecStart", "nothing"),
        ("TimeoutStopSec", "'soon'"),
        ("Ünit", "1"),
    ],
)
def test_an_annotation_that_is_none_is_refused(name, value):
    with pytest.raises(ConfigError, match="cannot use the annotation"):
        annotated_properties({f"org.systemd.property.{name}": value})
