"""The cgroup hierarchies of a machine, as the floor and the runtimes are told to mount them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import bundle, hierarchies
from bench.hierarchies import Hierarchy

VERSION_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,xattr,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,release_agent=/run/a,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
42 27 0:39 / /srv/root/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
"""
MEMBERSHIP = "3:memory:/\n2:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/\n"
OF_HYBRID = (
    Hierarchy(path="/sys/fs/cgroup/cpu,cpuacct", controllers="cpu,cpuacct"),
    Hierarchy(path="/sys/fs/cgroup/systemd", controllers="name=systemd"),
    Hierarchy(path="/sys/fs/cgroup/unified", controllers=""),
)


def destinations(cgroups: tuple[Hierarchy, ...]) -> dict[str, Any]:
    config = bundle.config(
        Path("/"), ["true"], bundle.restrictions(), cgroups=cgroups, seccomp=None
    )
    mounts = {mount["destination"]: mount for mount in config["mounts"]}
    return {path: mount["type"] for path, mount in mounts.items() if path.startswith("/sys/fs/")}


def test_version_2_alone_is_one_mount_for_all() -> None:
    found = hierarchies.parse(VERSION_2, "0::/user.slice\n")
    assert found == (Hierarchy(path="/sys/fs/cgroup", controllers=""),)
    assert hierarchies.mounts(found) == ["2:/sys/fs/cgroup"]
    assert destinations(found) == {"/sys/fs/cgroup": "cgroup"}


def test_of_a_hybrid_machine_each_hierarchy_is_mounted_by_its_controllers_alone() -> None:
    found = hierarchies.parse(HYBRID, MEMBERSHIP)
    assert found == OF_HYBRID
    assert hierarchies.mounts(found) == [
        "t:/sys/fs/cgroup",
        "1:/sys/fs/cgroup/cpu,cpuacct:cpu,cpuacct",
        "1:/sys/fs/cgroup/systemd:name=systemd",
        "2:/sys/fs/cgroup/unified",
    ]


def test_beside_version_1_the_runtimes_are_told_of_version_2_by_name() -> None:
    assert destinations(OF_HYBRID) == {
        "/sys/fs/cgroup": "cgroup",
        "/sys/fs/cgroup/unified": "cgroup2",
    }


def test_of_two_mounts_at_one_place_the_upper_one_counts() -> None:
    upper = VERSION_2.replace("30 23", "31 30")
    assert len(hierarchies.parse(VERSION_2 + upper, "0::/\n")) == 1


def test_without_hierarchies_nothing_is_mounted() -> None:
    assert hierarchies.parse("23 27 0:22 / /sys rw - sysfs sysfs rw\n", "") == ()
    assert hierarchies.mounts(()) == []
    assert destinations(()) == {}
