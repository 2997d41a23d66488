"""Limits are enforced by the kernel, and what cannot be is refused."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.root.driver import end, expect_line

pytestmark = pytest.mark.usefixtures("nothing_left")

EAGAIN = "11"


@pytest.fixture
def launch(nestbox, image):
    """Return a function that runs a command with limits in the small root."""

    def run(flags, *command):
        return nestbox.run(*flags, "--rootfs", str(image), "--", *command)

    return run


def first_of(*paths):
    return "; ".join(f"cat {path} 2>/dev/null" for path in paths)


def test_a_process_that_uses_more_memory_than_allowed_is_killed(launch):
    done = launch(["--memory", "32m"], "sh", "-c", "probe memory 128; echo $?")
    assert done.stdout.split() == ["137"]


def test_within_the_limit_memory_can_be_used(launch):
    assert launch(["--memory", "64m"], "probe", "memory", "16").facts == {"memory": "0"}


def test_a_first_process_killed_for_its_memory_is_137(launch):
    assert launch(["--memory", "32m"], "probe", "memory", "128").exit_code == 137


def test_the_memory_limit_is_visible_inside(launch):
    paths = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")
    assert launch(["--memory", "48m"], "sh", "-c", first_of(*paths)).stdout.strip() == str(48 << 20)


def test_forks_beyond_the_limit_of_processes_are_refused(launch):
    facts = launch(["--pids-limit", "8"], "probe", "fork", "30").facts
    assert facts["fork"] == EAGAIN
    assert int(facts["forked"]) == 7


def test_the_limit_of_processor_time_is_in_force(launch):
    v1 = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us"
    done = launch(["--cpus", "0.25"], "sh", "-c", first_of(v1, "/sys/fs/cgroup/cpu.max"))
    quota, period = (int(word) for word in done.stdout.split())
    assert quota / period == 0.25


def test_the_cgroups_are_the_containers_own_root(launch):
    done = launch(["--memory", "64m", "--pids-limit", "9"], "cat", "/proc/self/cgroup")
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in done.stdout.splitlines()}
    assert paths.get("memory", paths.get("")) == "/"
    assert paths.get("pids", paths.get("")) == "/"


def test_cgroups_that_a_container_makes_in_its_own_go_with_it(launch):
    top = next(path for path in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") if os.path.isdir(path))
    script = f"mkdir -p {top}/inner/deep && echo $$ >{top}/inner/deep/cgroup.procs && echo in"
    done = launch(["--privileged", "--pids-limit", "50"], "sh", "-c", script)
    assert (done.exit_code, done.stdout.strip()) == (0, "in")


def test_a_cgroup_that_somebody_else_keeps_busy_costs_neither_the_result_nor_its_name(
    nestbox, image
):
    name = f"{nestbox.prefix}-busy"
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        with nestbox.start(
            "--name", name, "-i", "--pids-limit", "50", "--rootfs", f"{image}:overlay",
            "--", "sh", "-c", "echo up; read line; exit 7",
            stdin=subprocess.PIPE,
        ) as process:  # fmt: skip
            expect_line(process, b"up")
            (directory,) = Path("/sys/fs/cgroup").glob(f"**/nestbox-{name}")
            (directory / "cgroup.procs").write_text(str(stranger.pid))
            process.stdin.write(b"\n")
            process.stdin.flush()
            done = end(process)
        assert done.exit_code == 7
        assert "left behind" in done.stderr
        assert (nestbox.state / name / "state.json").exists()
    finally:
        stranger.kill()
        stranger.wait()
    assert nestbox.run("--rootfs", f"{image}:overlay", "--", "true").exit_code == 0
    assert not directory.exists()
    assert not (nestbox.state / name).exists()


def test_a_ulimit_is_set(launch):
    command = ("sh", "-c", "ulimit -Sn; ulimit -Hn")
    done = launch(["--ulimit", "nofile=64:128"], *command)
    assert done.stdout.split() == ["64", "128"]


def test_a_ulimit_above_the_outer_one_is_refused(launch):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = launch(["--ulimit", f"nofile={hard + 1}"], "true")
    if done.exit_code == 0:
        pytest.skip("CAP_SYS_RESOURCE allows it here")
    assert done.exit_code == 125
    assert "nofile" in done.stderr.lower()
    assert "CAP_SYS_RESOURCE" in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--memory", "-1"],
        ["--memory", "1k"],
        ["--memory", "abc"],
        ["--memory", "99999999999999999999g"],
        ["--cpus", "0"],
        ["--cpus", "-2"],
        ["--cpus", "nan"],
        ["--cpus", "inf"],
        ["--cpus", "100000"],
        ["--pids-limit", "0"],
        ["--pids-limit", "-5"],
        ["--pids-limit", "x"],
        ["--ulimit", "nofile"],
        ["--ulimit", "nofile=-5"],
        ["--ulimit", "nofile=10:5"],
        ["--ulimit", "nosuch=1"],
    ],
    ids=" ".join,
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_name(nestbox, launch, flags):
    done = launch(flags, "true")
    if flags == ["--pids-limit", "0"] and done.exit_code == 0:
        return  # as docker: no limit
    assert done.exit_code == 125
    assert "because:" in done.stderr
    assert "try:" in done.stderr
    assert flags[0] in done.stderr or "limit" in done.stderr
    assert not nestbox.state.exists()


def test_a_sysctl_of_the_own_network_is_set(launch):
    flags = ["--network", "none", "--sysctl", "net.ipv4.ip_forward=1"]
    done = launch(flags, "cat", "/proc/sys/net/ipv4/ip_forward")
    assert done.stdout.strip() == "1"


def test_a_sysctl_of_the_outer_network_is_refused(launch):
    done = launch(["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"], "true")
    assert done.exit_code == 125
    assert "net.ipv4.ip_forward" in done.stderr


@pytest.mark.parametrize("name", ["kernel.panic", "vm.swappiness", "../../etc/passwd", "no.such"])
def test_a_sysctl_that_is_no_containers_own_is_refused(launch, name):
    done = launch(["--sysctl", f"{name}=1"], "true")
    assert done.exit_code == 125
    assert name in done.stderr


def test_the_size_of_shared_memory_is_limited(launch):
    done = launch(["--shm-size", "1m"], "df", "-k", "/dev/shm")
    assert done.stdout.splitlines()[-1].split()[1] == "1024"
