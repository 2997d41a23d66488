"""From `podman create` to `podman rm`: signals, pause, limits, health, what is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.engines.images import NAME
from integration.engines.waiting import wait_until

V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
TRAP = "trap 'echo told; exit 4' {}; echo ready; while :; do sleep 0.02; done"


def _ready(podman, name):
    wait_until(lambda: "ready" in podman("logs", name).out, f"{name} is ready")


def test_created_then_started(podman):
    name = podman("create", "--network=none", NAME, "sh", "-c", "echo ran").out.strip()
    assert podman.state(name)["Status"] == "created"
    podman("init", name)
    assert podman.state(name)["Status"] == "initialized"
    assert podman("start", "--attach", name).out == "ran\n"
    assert podman("wait", name).out == "0\n"
    assert podman.state(name)["Status"] == "exited"


@pytest.mark.parametrize(("signal", "name"), [("HUP", "HUP"), ("SIGUSR1", "USR1"), ("12", "USR2")])
def test_signals(podman, signal, name):
    container = podman.start(NAME, "sh", "-c", TRAP.format(name))
    _ready(podman, container)
    podman("kill", f"--signal={signal}", container)
    assert podman("wait", container).out == "4\n"
    assert podman("logs", container).out == "ready\ntold\n"


def test_stop_asks_first_then_kills(podman):
    listens = podman.start(NAME, "sh", "-c", TRAP.format("TERM"))
    script = "trap '' TERM; echo ready; while :; do sleep 0.02; done"
    does_not = podman.start(NAME, "sh", "-c", script)
    for name in (listens, does_not):
        _ready(podman, name)
    podman("stop", "--time=30", listens)
    podman("stop", "--time=1", does_not)
    assert [podman.state(name)["ExitCode"] for name in (listens, does_not)] == [4, 137]


def test_restart(podman):
    name = podman.start(NAME, "sh", "-c", "echo ready; exec sleep 1000")
    before = podman.state(name)["Pid"]
    podman("restart", "--time=0", name)
    assert podman.state(name)["Pid"] not in (0, before)


def test_pause_and_unpause(podman):
    name = podman.start(NAME, "sleep", "1000")
    podman("pause", name)
    assert podman.state(name)["Status"] == "paused"
    podman("unpause", name)
    assert podman.state(name)["Status"] == "running"
    assert podman("exec", name, "echo", "awake").out == "awake\n"


def test_health(podman):
    name = podman.start(
        "--health-cmd=test -e /tmp/well", "--health-interval=disable", NAME, "sleep", "1000"
    )
    assert podman("healthcheck", "run", name, check=False).status == 1
    podman("exec", name, "touch", "/tmp/well")
    assert podman("healthcheck", "run", name).status == 0


def test_stats_and_top(podman):
    name = podman.start("--memory=64m", "-u=1000", NAME, "sleep", "1357")
    stats = json.loads(podman("stats", "--no-stream", "--format=json", name).out)[0]
    assert stats["pids"] == "1"
    assert stats["mem_usage"].endswith("/ 67.11MB")
    assert podman("top", name, "user", "args").out.splitlines()[1].split() == [
        "worker", "sleep", "1357"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "v1", "v2", "value"),
    [
        ("--memory=64m", "memory/memory.limit_in_bytes", "memory.max", str(64 << 20)),
        ("--pids-limit=33", "pids/pids.max", "pids.max", "33"),
        ("--cpuset-cpus=1", "cpuset/cpuset.cpus", "cpuset.cpus", "1"),
    ],
)
def test_limits(podman, flag, v1, v2, value):
    done = podman.run(flag, NAME, "cat", f"/sys/fs/cgroup/{v2 if V2 else v1}")
    assert done.out == f"{value}\n"


def test_changed_while_it_runs(podman):
    name = podman.start("--memory=64m", NAME, "sleep", "1000")
    podman("update", "--memory=96m", "--memory-swap=96m", "--cpus=1.5", name)
    file = "memory.max" if V2 else "memory/memory.limit_in_bytes"
    assert podman("exec", name, "cat", f"/sys/fs/cgroup/{file}").out == f"{96 << 20}\n"


def test_more_memory_than_allowed(podman):
    flags = ("--memory=16m", "--memory-swap=16m")
    name = podman.start(*flags, NAME, "tail", "/dev/zero")
    assert podman("wait", name).out == "137\n"


def test_copied_in_and_out(podman, tmp_path):
    (tmp_path / "given").write_text("given\n")
    name = podman.start(NAME, "sleep", "1000")
    podman("cp", tmp_path / "given", f"{name}:/tmp/given")
    assert podman("exec", name, "cat", "/tmp/given").out == "given\n"
    podman("cp", f"{name}:/tmp/given", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "given\n"


def test_commit(podman):
    name = podman.start(NAME, "sh", "-c", "echo new >/added; echo ready; exec sleep 1000")
    _ready(podman, name)
    podman("commit", "--quiet", name, "localhost/changed:1")
    assert podman.run("localhost/changed:1", "cat", "/added").out == "new\n"
    podman("rmi", "--force", "localhost/changed:1")


def test_nothing_is_left_of_a_removed_container(podman):
    name = podman.start(NAME, "sleep", "1000")
    # A record is there to be asked afterwards.
    find = f"find /run /sys/fs/cgroup -name @records -prune -o -name '*{name}*' -print"
    find = ("sh", "-c", f"{find}; grep {name} /proc/mounts")
    assert podman.enclosure.run(*find, check=False).out
    podman("rm", "--force", "--time=0", name)
    assert podman.enclosure.run(*find, check=False).out == ""
    kept = podman.enclosure.run("ls", f"/run/{podman.runtime.name}").words
    assert [entry for entry in kept if not entry.startswith("@")] == []
