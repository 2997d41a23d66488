"""Limits of docker's containers: given, enforced, changed while they run, and measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.engines.dockerd import IMAGE
from integration.engines.waiting import wait_until

V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
# Where a container's process finds a limit, and what it holds, in either version.
FILES = {
    "memory": ("memory/memory.limit_in_bytes", "memory.max"),
    "reservation": ("memory/memory.soft_limit_in_bytes", "memory.low"),
    "pids": ("pids/pids.max", "pids.max"),
    "quota": ("cpu/cpu.cfs_quota_us", "cpu.max"),
    "shares": ("cpu/cpu.shares", "cpu.weight"),
    "cpus": ("cpuset/cpuset.cpus", "cpuset.cpus"),
    "read": ("blkio/blkio.throttle.read_bps_device", "io.max"),
}


def _file(docker, name: str, limit: str) -> Path:
    """Return the file of a limit, as the machine sees it."""
    pid = docker.state(name)["Pid"]
    controller = FILES[limit][0].partition("/")[0]
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if V2 and not controllers:
            return Path(f"/sys/fs/cgroup{path}") / FILES[limit][1]
        if not V2 and controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controller}{path}") / FILES[limit][0].partition("/")[2]
    raise AssertionError(f"no cgroup of {controller}")


@pytest.mark.parametrize(
    ("flag", "limit", "v1", "v2"),
    [
        ("--memory=64m", "memory", "67108864", "67108864"),
        ("--memory-reservation=32m", "reservation", "33554432", "33554432"),
        ("--pids-limit=33", "pids", "33", "33"),
        ("--cpus=0.5", "quota", "50000", "50000 100000"),
        ("--cpu-shares=512", "shares", "512", "20"),
        ("--cpuset-cpus=1", "cpus", "1", "1"),
        (
            "--device-read-bps=/dev/loop0:1mb",
            "read",
            "7:0 1048576",
            "7:0 rbps=1048576 wbps=max riops=max wiops=max",
        ),
    ],
)
def test_a_limit_is_given(docker, flag, limit, v1, v2):
    name = docker.start(flag, IMAGE, "sleep", "1000")
    assert _file(docker, name, limit).read_text().strip() == (v2 if V2 else v1)


def test_more_processes_than_allowed_are_refused(docker):
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5 & done; wait"
    done = docker.run("--pids-limit=5", IMAGE, "sh", "-c", script, check=False)
    assert "can't fork" in done.err


def test_more_memory_than_allowed_kills_and_is_told(docker):
    name = docker.start("--memory=16m", "--memory-swap=16m", IMAGE, "tail", "/dev/zero")
    assert docker("wait", name).out == "137\n"
    assert docker.state(name)["OOMKilled"] is True
    events = ("events", "--since=1m", "--until=0s", f"--filter=container={name}")
    wait_until(lambda: " container oom " in docker(*events).out, "the event")


def test_changed_while_it_runs(docker):
    name = docker.start("--memory=64m", "--memory-swap=64m", IMAGE, "sleep", "1000")
    docker("update", "--memory=96m", "--memory-swap=96m", "--pids-limit=44", "--cpus=1.5", name)
    changed = ("memory", "pids", "quota")
    read = {limit: _file(docker, name, limit).read_text().split()[0] for limit in changed}
    assert read["memory"] == str(96 << 20)
    assert read["pids"] == "44"
    assert read["quota"] == "150000"


def test_changed_before_it_is_started_again(docker):
    name = docker("create", "--network=none", IMAGE, "sleep", "1000").out.strip()
    docker("update", "--cpu-shares=256", name)
    docker("start", name)
    assert _file(docker, name, "shares").read_text().strip() == ("10" if V2 else "256")


def test_measured(docker):
    flags = ("--memory=64m", "--pids-limit=10")
    name = docker.start(*flags, IMAGE, "sh", "-c", "sleep 1000 & while :; do :; done")

    def measured() -> dict[str, str]:
        line = docker("stats", "--no-stream", "--format={{json .}}", name).out
        found: dict[str, str] = json.loads(line)
        return found

    stats = wait_until(lambda: (it := measured())["CPUPerc"] != "0.00%" and it, "it uses the CPU")
    assert stats["MemUsage"].endswith("/ 64MiB")
    assert stats["PIDs"] == "2"
