"""What the specification rules out: each rule alone, and all of them told at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nestbox.errors import ConfigError
from nestbox.oci.template import rootless_template, template
from nestbox.oci.validate import (
    find_problems,
    find_process_problems,
    find_resource_problems,
    find_warnings,
    is_version,
    refuse,
)
from tests.oci.configs import NAMES, changed, document, read

USER = [{"type": "mount"}, {"type": "user"}]
IDS = [{"containerID": 0, "hostID": 1000, "size": 10}]


def places(path: str, value: object) -> list[str]:
    """Return where problems are when one place of the template has this value."""
    return [problem.place for problem in find_problems(changed(path, value))]


@pytest.mark.parametrize("name", NAMES)
def test_what_engines_write_is_right(name: str) -> None:
    assert find_problems(read(document(name))) == ()


@pytest.mark.parametrize("cgroup_namespace", [False, True])
def test_what_spec_writes_is_right(cgroup_namespace: bool) -> None:
    for text in (
        template(cgroup_namespace=cgroup_namespace),
        rootless_template(uid=1000, gid=1000, cgroup_namespace=cgroup_namespace),
    ):
        config = read(json.loads(text))
        assert find_problems(config) == ()
        assert find_warnings(config) == ()


GOOD: list[tuple[str, Any]] = [
    ("ociVersion", "1.0.0-rc5-dev"),
    ("ociVersion", "1.9.3+build.1"),
    ("process.user", {"uid": 0, "gid": 0, "umask": 0o777}),
    ("process.oomScoreAdj", -1000),
    ("process.env", ["A=", "B=c=d"]),
    ("process.consoleSize", {"height": 65535, "width": 1}),
    ("process.scheduler", {"policy": "SCHED_BATCH", "nice": 19}),
    ("process.scheduler", {"policy": "SCHED_RR", "priority": 99}),
    ("process.scheduler", {"policy": "SCHED_IDLE", "nice": 30}),
    ("process.ioPriority", {"class": "IOPRIO_CLASS_RT", "priority": 0}),
    ("process.execCPUAffinity", {"initial": "", "final": "1, 3-5,"}),
    ("linux.rootfsPropagation", "rshared"),
    ("linux.sysctl", {"net/ipv4/conf/eno2.100/forwarding": "1", "kernel.sem": "1 2 3 4"}),
    ("linux.sysctl", {"net.ipv4.conf.eno2/100.forwarding": "1", "fs.mqueue.msg_max": "1"}),
    ("linux.sysctl", {"kernel.domainname": "x"}),
    ("linux.netDevices", {"eth0": {"name": "c%d"}}),
    ("linux.intelRdt", {"closID": "/"}),
    ("linux.intelRdt", {"schemata": ["L3:0=f", "MB:0=20"]}),
    ("linux.memoryPolicy", {"mode": "MPOL_PREFERRED"}),
    ("linux.memoryPolicy", {"mode": "MPOL_LOCAL", "nodes": ""}),
    ("linux.personality", {"domain": "LINUX"}),
    ("linux.devices", [{"path": "/dev/f", "type": "p"}, {"path": "/x", "type": "u", "major": 1}]),
    ("linux.resources.devices", [{"allow": True, "major": -1, "minor": -1, "access": "m"}]),
    ("linux.resources.hugepageLimits", [{"pageSize": "64KB", "limit": 1}]),
    ("linux.resources.cpu", {"quota": -1, "burst": 10}),
    ("linux.resources.pids", {"limit": 0}),
    ("linux.resources.unified", {"memory.swap.max": "0"}),
    ("mounts", [{"destination": "relative", "type": "tmpfs", "options": ["size=1m", "x"]}]),
    ("hooks", {"poststop": [{"path": "/bin/x", "timeout": 1}]}),
    ("annotations", {"a": ""}),
    ("hostname", "a" * 64),
]


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_what_the_specification_allows_is_taken(path: str, value: object) -> None:
    assert places(path, value) == []


BAD: list[tuple[str, Any, str]] = [
    ("ociVersion", "", ""),
    ("ociVersion", "1.0", ""),
    ("ociVersion", "01.0.0", ""),
    ("ociVersion", "2.0.0", ""),
    ("ociVersion", "0.1.0", ""),
    ("root.path", "", ""),
    ("process.cwd", "", ""),
    ("process.cwd", "tmp", ""),
    ("process.args", [], ""),
    ("process.args", [""], "[0]"),
    ("process.env", ["A=1", "B"], "[1]"),
    ("process.env", ["=x"], "[0]"),
    ("process.user", {"umask": 0o1000}, ".umask"),
    ("process.user", {"uid": (1 << 32) - 1}, ".uid"),
    ("process.user", {"additionalGids": [1, (1 << 32) - 1]}, ".additionalGids[1]"),
    ("process.consoleSize", {"height": 65536, "width": 1}, ""),
    ("process.oomScoreAdj", 1001, ""),
    ("process.scheduler", {}, ".policy"),
    ("process.scheduler", {"policy": "SCHED_FAIR"}, ".policy"),
    ("process.scheduler", {"policy": "SCHED_OTHER", "nice": 20}, ".nice"),
    ("process.scheduler", {"policy": "SCHED_OTHER", "priority": 1}, ".priority"),
    ("process.scheduler", {"policy": "SCHED_FIFO", "period": 1}, ""),
    ("process.scheduler", {"policy": "SCHED_DEADLINE", "period": 1 << 64}, ""),
    ("process.scheduler", {"policy": "SCHED_RR", "flags": ["X"]}, ".flags[0]"),
    ("process.ioPriority", {"class": "IOPRIO_CLASS_NONE"}, ".class"),
    ("process.ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8}, ".priority"),
    ("process.execCPUAffinity", {"initial": "3-1"}, ".initial"),
    ("process.execCPUAffinity", {"final": "x"}, ".final"),
    ("process.execCPUAffinity", {"final": ","}, ".final"),
    ("process.execCPUAffinity", {"final": "65536"}, ".final"),
    ("hostname", "a" * 65, ""),
    ("domainname", "ä" * 33, ""),
    ("annotations", {"": "x"}, ""),
    ("hooks", {"createRuntime": [{"path": "bin/x"}]}, ".createRuntime[0].path"),
    ("hooks", {"poststop": [{"path": "/x", "timeout": 0}]}, ".poststop[0].timeout"),
    ("mounts", [{"destination": ""}], "[0].destination"),
    ("mounts", [{"destination": "/a", "options": ["bind", "idmap"]}], "[0]"),
    ("mounts", [{"destination": "/a", "options": ["bind"], "uidMappings": IDS}], "[0]"),
    ("mounts", [{"destination": "/a", "uidMappings": IDS, "gidMappings": IDS}], "[0]"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "net"}], "[2].type"),
    ("linux.namespaces", [{"type": "uts"}, {"type": "mount"}, {"type": "uts"}], "[2].type"),
    ("linux.namespaces", [{"type": "uts"}, {"type": "mount", "path": "x"}], "[1].path"),
    ("linux.uidMappings", IDS, ""),
    ("linux.timeOffsets", {"monotonic": {"secs": 1}}, ""),
    ("linux.sysctl", {"vm.swappiness": "1"}, ".vm.swappiness"),
    ("linux.sysctl", {"kernel.core_pattern": "|/x"}, ".kernel.core_pattern"),
    ("linux.sysctl", {"kernel.hostname": "x"}, ".kernel.hostname"),
    ("linux.sysctl", {"user.max_user_namespaces": "1"}, ".user.max_user_namespaces"),
    ("linux.sysctl", {"net.ipv4.ip_forward": "1\n2"}, ".net.ipv4.ip_forward"),
    ("linux.sysctl", {"net//../../kernel.x": "1"}, ".net//../../kernel.x"),
    ("linux.sysctl", {"net/../kernel/core_pattern": "1"}, ".net/../kernel/core_pattern"),
    ("linux.sysctl", {"net.a b": "1"}, ".net.a b"),
    ("linux.sysctl", {"": "1"}, "."),
    ("linux.netDevices", {"a/b": {}}, ".a/b"),
    ("linux.netDevices", {"eth0": {"name": "a" * 16}}, ".eth0"),
    ("linux.maskedPaths", ["/a", "proc/kcore"], "[1]"),
    ("linux.readonlyPaths", [""], "[0]"),
    ("linux.rootfsPropagation", "hidden", ""),
    ("linux.devices", [{"path": "/dev/x", "type": "d"}], "[0].type"),
    ("linux.devices", [{"path": "dev/x", "type": "c"}], "[0].path"),
    ("linux.devices", [{"path": "/dev/x", "type": "c", "major": -1}], "[0]"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_NOTIFY"}, ".defaultAction"),
    (
        "linux.seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1},
        ".defaultErrnoRet",
    ),
    ("linux.intelRdt", {"closID": ".."}, ".closID"),
    ("linux.intelRdt", {"closID": "a/b"}, ".closID"),
    ("linux.intelRdt", {"closID": "//"}, ".closID"),
    ("linux.intelRdt", {"memBwSchema": "L3:0=f"}, ".memBwSchema"),
    ("linux.intelRdt", {"schemata": ["L3:0=f", "L2:\n"]}, ".schemata[1]"),
    ("linux.intelRdt", {"l3CacheSchema": "L3:0=f\nMB:0=1"}, ".l3CacheSchema"),
    ("linux.memoryPolicy", {"mode": "MPOL_DEFAULT", "nodes": "0"}, ".nodes"),
    ("linux.memoryPolicy", {"mode": "MPOL_BIND"}, ".nodes"),
    ("linux.memoryPolicy", {"mode": "MPOL_BIND", "nodes": "a"}, ".nodes"),
    ("linux.memoryPolicy", {"mode": "BIND", "nodes": "0"}, ".mode"),
    ("linux.memoryPolicy", {"mode": "MPOL_LOCAL", "flags": ["X"]}, ".flags[0]"),
    (
        "linux.memoryPolicy",
        {"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]},
        ".flags",
    ),
    ("linux.personality", {"domain": "LINUX64"}, ".domain"),
    ("linux.resources.devices", [{"allow": True, "type": "p", "access": "r"}], "[0].type"),
    ("linux.resources.devices", [{"allow": True}], "[0].access"),
    ("linux.resources.devices", [{"access": "x"}], "[0].access"),
    ("linux.resources.devices", [{"access": "r", "major": -2}], "[0].major"),
    ("linux.resources.memory", {"limit": -2}, ".limit"),
    ("linux.resources.memory", {"swappiness": 1 << 64}, ".swappiness"),
    ("linux.resources.cpu", {"cpus": "0-"}, ".cpus"),
    ("linux.resources.cpu", {"mems": "-1"}, ".mems"),
    ("linux.resources.cpu", {"idle": 2}, ".idle"),
    ("linux.resources.cpu", {"quota": 10, "burst": 11}, ".burst"),
    ("linux.resources.cpu", {"realtimePeriod": 1 << 64}, ".realtimePeriod"),
    ("linux.resources.blockIO", {"weightDevice": [{"major": 8}]}, ".weightDevice[0]"),
    (
        "linux.resources.blockIO",
        {"throttleReadIOPSDevice": [{"major": 8, "minor": -1}]},
        ".throttleReadIOPSDevice[0]",
    ),
    (
        "linux.resources.blockIO",
        {"throttleWriteBpsDevice": [{"rate": 1 << 64}]},
        ".throttleWriteBpsDevice[0].rate",
    ),
    ("linux.resources.hugepageLimits", [{"pageSize": "2M"}], "[0].pageSize"),
    ("linux.resources.hugepageLimits", [{"pageSize": "02MB"}], "[0].pageSize"),
    ("linux.resources.hugepageLimits", [{"pageSize": "MB"}], "[0].pageSize"),
    (
        "linux.resources.hugepageLimits",
        [{"pageSize": "2MB", "limit": 1 << 64}],
        "[0].limit",
    ),
    ("linux.resources.network", {"priorities": [{"name": ""}]}, ".priorities[0].name"),
    ("linux.resources.rdma", {"mlx": {}}, ".mlx"),
    ("linux.resources.rdma", {"a b": {"hcaHandles": 1}}, ".a b"),
    ("linux.resources.unified", {"../memory.max": "1"}, ".../memory.max"),
    ("linux.resources.unified", {"memory": "1"}, ".memory"),
]


@pytest.mark.parametrize(("path", "value", "below"), BAD)
def test_what_the_specification_rules_out_is_told_with_its_place(
    path: str, value: object, below: str
) -> None:
    """The last column is where the problem is, below the place that has the value."""
    assert places(path, value) == [f"$.{path}{below}"]


@pytest.mark.parametrize(
    ("limits", "place"),
    [
        ([("RLIMIT_TEST", 1, 1)], "$.process.rlimits[0].type"),
        ([("RLIMIT_CPU", 1, 1), ("RLIMIT_CPU", 2, 2)], "$.process.rlimits[1].type"),
        ([("RLIMIT_CPU", 2, 1)], "$.process.rlimits[0]"),
        ([("RLIMIT_CPU", 1, 1 << 64)], "$.process.rlimits[0]"),
    ],
)
def test_rlimits(limits: list[tuple[str, int, int]], place: str) -> None:
    value = [{"type": name, "soft": soft, "hard": hard} for name, soft, hard in limits]
    assert places("process.rlimits", value) == [place]


def test_what_needs_a_namespace_is_refused_without_it() -> None:
    value = document("everything")
    value["mounts"] = []
    value["linux"]["namespaces"] = []
    found = [problem.place for problem in find_problems(read(value))]
    assert found == [
        "$.hostname",
        "$.domainname",
        "$.linux.uidMappings",
        "$.linux.gidMappings",
        "$.linux.timeOffsets",
        "$.linux.netDevices",
        "$.linux.maskedPaths",
        "$.linux.readonlyPaths",
        "$.linux.sysctl.net.core.somaxconn",
        "$.linux.sysctl.kernel.domainname",
        "$.linux.sysctl.fs.mqueue.msg_max",
    ]


def test_a_joined_namespace_that_is_the_runtimes_own_is_no_protection() -> None:
    config = read(document("everything"))
    found = [problem.place for problem in find_problems(config, joins_own_network=True)]
    assert found == ["$.linux.netDevices", "$.linux.sysctl.net.core.somaxconn"]


def test_a_new_user_namespace_needs_ids() -> None:
    value = json.loads(template(cgroup_namespace=False))
    value["linux"]["namespaces"] += USER[1:]
    value["linux"]["uidMappings"] = IDS
    assert [problem.place for problem in find_problems(read(value))] == ["$.linux.gidMappings"]
    value["linux"]["namespaces"][-1]["path"] = "/proc/1/ns/user"
    del value["linux"]["uidMappings"]
    assert find_problems(read(value)) == ()


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([(0, 1000, 0)], "$.linux.uidMappings[0].size"),
        ([(0, (1 << 32) - 2, 2)], "$.linux.uidMappings[0]"),
        ([(0, 1000, 10), (9, 2000, 1)], "$.linux.uidMappings[1]"),
        ([(0, 1000, 10), (10, 1009, 1)], "$.linux.uidMappings[1]"),
        ([(i, i, 1) for i in range(341)], "$.linux.uidMappings"),
    ],
)
def test_id_maps_that_the_kernel_refuses(rows: list[tuple[int, int, int]], place: str) -> None:
    value = json.loads(template(cgroup_namespace=False))
    value["linux"]["namespaces"] += USER[1:]
    value["linux"]["gidMappings"] = IDS
    value["linux"]["uidMappings"] = [
        {"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in rows
    ]
    assert [problem.place for problem in find_problems(read(value))] == [place]


@pytest.mark.parametrize(
    ("offsets", "path", "place"),
    [
        ({"realtime": {"secs": 1}}, "", "$.linux.timeOffsets.realtime"),
        ({"boottime": {"nanosecs": 1_000_000_000}}, "", "$.linux.timeOffsets.boottime.nanosecs"),
        ({"boottime": {"secs": 1}}, "/proc/1/ns/time", "$.linux.timeOffsets"),
    ],
)
def test_time_offsets(offsets: object, path: str, place: str) -> None:
    value = json.loads(template(cgroup_namespace=False))
    value["linux"]["namespaces"].append({"type": "time", "path": path})
    value["linux"]["timeOffsets"] = offsets
    assert [problem.place for problem in find_problems(read(value))] == [place]


def test_the_phrase_that_callers_look_for_in_a_filter_that_asks_about_write() -> None:
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/x",
        "syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}],
    }
    (problem,) = find_problems(changed("linux.seccomp", seccomp))
    assert "SCMP_ACT_NOTIFY cannot be used for the write syscall" in problem.cause


def test_no_value_of_a_variable_is_ever_shown() -> None:
    (problem,) = find_problems(changed("process.env", ["=secret"]))
    assert "secret" not in str(problem)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("mounts", [{"destination": "a/b"}], "$.mounts[0].destination"),
        (
            "mounts",
            [{"destination": "/a", "options": ["rbind", "size=1"]}],
            "$.mounts[0].options",
        ),
        ("linux.personality", {"domain": "LINUX", "flags": ["X"]}, "$.linux.personality.flags"),
        ("linux.resources.memory", {"kernel": 1}, "$.linux.resources.memory"),
    ],
)
def test_what_is_deprecated_is_a_warning(path: str, value: object, place: str) -> None:
    config = changed(path, value)
    assert find_problems(config) == ()
    assert [problem.place for problem in find_warnings(config)] == [place]


def test_ids_beside_a_path_are_a_warning_as_engines_write_both() -> None:
    value = json.loads(template(cgroup_namespace=False))
    value["linux"]["namespaces"].append({"type": "user", "path": "/proc/1/ns/user"})
    value["linux"] |= {"uidMappings": IDS, "gidMappings": IDS}
    assert find_problems(read(value)) == ()
    assert [one.place for one in find_warnings(read(value))] == ["$.linux.uidMappings"]


def test_everything_wrong_is_told_in_one_error() -> None:
    value = json.loads(template(cgroup_namespace=False))
    value["process"]["cwd"] = ""
    value["process"]["args"] = []
    value["linux"]["sysctl"] = {"vm.x": "1"}
    with pytest.raises(ConfigError) as caught:
        refuse(find_problems(read(value)), source="config.json")
    assert caught.value.what == "invalid configuration 'config.json'"
    for place in ("$.process.cwd", "$.process.args", "$.linux.sysctl.vm.x"):
        assert place in caught.value.cause
    assert caught.value.exit_code == 1
    refuse((), source="config.json")


def test_the_process_of_an_exec_and_the_limits_of_an_update_are_checked_alone() -> None:
    config = changed("process.cwd", "x")
    assert [one.place for one in find_process_problems(config.process)] == ["$.process.cwd"]
    resources = changed("linux.resources.cpu", {"idle": 3}).linux.resources
    assert resources is not None
    assert [one.place for one in find_resource_problems(resources)] == [
        "$.linux.resources.cpu.idle"
    ]


@pytest.mark.parametrize("text", ["1.0.0", "0.1.0", "1.0.2-dev", "1.0.0-rc.1+b.01", "1.2.3+x-y"])
def test_versions(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "1.0.0-a..b", "1.0.٣"],
)
def test_what_is_no_version(text: str) -> None:
    assert not is_version(text)
