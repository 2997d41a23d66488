"""The commands that act on a container that exists, as engines call them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.root.driver import SECONDS


def test_the_life_of_a_container(oci, bundle):
    name = oci.create(bundle.shell("echo it runs"))
    assert oci.status(name) == "created"
    assert oci.output(name) == ""
    oci.start(name)
    oci.wait(name)
    assert oci.status(name) == "stopped"
    assert oci.output(name) == "it runs\n"
    oci.ok("delete", name)
    assert oci.status(name) == ""
    assert not (oci.root / name).exists()


def test_state_has_all_of_its_members(oci, bundle):
    bundle.config["annotations"] = {"org.example.key": 'a "value"\n'}
    name = oci.up(bundle)
    state = oci.state(name)
    assert state["ociVersion"].startswith("1.")
    assert state["id"] == name
    assert state["status"] == "running"
    assert state["bundle"] == str(bundle.directory)
    assert state["rootfs"] == str(bundle.rootfs)
    assert state["annotations"] == {"org.example.key": 'a "value"\n'}
    assert Path(f"/proc/{state['pid']}/root/bin/busybox").exists()
    assert state["created"].endswith("Z")


def test_the_state_of_a_stopped_container_has_no_pid(oci, bundle):
    name = oci.up(bundle.args("true"))
    oci.wait(name)
    assert oci.state(name)["pid"] == 0


def test_list_in_its_three_forms(oci, bundle):
    names = sorted([oci.create(bundle), oci.up(bundle)])
    table = oci.ok("list").stdout.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert [line.split()[0] for line in table[1:]] == names
    assert {line.split()[2] for line in table[1:]} == {"created", "running"}
    assert oci.ok("list", "-q").stdout.split() == names
    listed = json.loads(oci.ok("list", "--format", "json").stdout)
    assert [one["id"] for one in listed] == names
    assert all(one["bundle"] == str(bundle.directory) for one in listed)


def test_ps_tells_the_processes(oci, bundle, voice):
    bundle.shell("sleep 1000 & sleep 1000 & echo up; wait")
    name = oci.up(bundle, stdout=voice.writing)
    pid = oci.state(name)["pid"]
    assert voice.line() == "up"
    pids = json.loads(oci.ok("ps", "--format", "json", name).stdout)
    assert pid in pids
    assert len(pids) == 3
    lines = oci.ok("ps", name).stdout.splitlines()
    assert "PID" in lines[0].split()
    assert sorted(int(line.split()[1]) for line in lines[1:]) == sorted(pids)
    assert len(oci.ok("ps", name, "-o", "pid,comm", "-e").stdout.splitlines()) == 4


@pytest.mark.parametrize("word", ["KILL", "SIGKILL", "kill", "9"])
def test_kill_by_name_and_number(oci, bundle, word):
    name = oci.up(bundle)
    oci.ok("kill", name, word)
    oci.wait(name)
    assert oci.status(name) == "stopped"


def test_kill_sends_term_by_default(oci, bundle, voice):
    bundle.shell("trap 'echo term; exit' TERM; echo up; while :; do sleep 0.01; done")
    name = oci.up(bundle, stdout=voice.writing)
    assert voice.line() == "up"
    oci.ok("kill", name)
    assert voice.line() == "term"


def test_kill_of_what_does_not_run(oci, bundle):
    name = oci.up(bundle.args("true"))
    oci.wait(name)
    done = oci.call("kill", name, "0")
    assert done.exit_code == 1
    assert "container not running" in done.stderr
    assert "container not running" in oci.messages("error")[-1]
    # What an engine does when it only wants to be sure.
    oci.ok("kill", "--all", name, "KILL")


def test_kill_with_an_unknown_signal(oci, bundle):
    name = oci.up(bundle)
    done = oci.call("kill", name, "SIGNONSENSE")
    assert done.exit_code == 1
    assert 'unknown signal "SIGNONSENSE"' in done.stderr
    assert oci.status(name) == "running"


def test_sigkill_reaches_all_without_a_pid_namespace(oci, bundle, voice):
    bundle.namespaces(without=("pid",)).shell("sleep 1000 & sleep 1000 & echo up; wait")
    name = oci.up(bundle, stdout=voice.writing)
    assert voice.line() == "up"
    pids = json.loads(oci.ok("ps", "-f", "json", name).stdout)
    assert len(pids) == 3
    watched = [os.pidfd_open(pid) for pid in pids]
    oci.ok("kill", name, "KILL")
    for pidfd in watched:
        assert select.select([pidfd], [], [], SECONDS)[0], "a process of the container lives on"
        os.close(pidfd)
    assert oci.status(name) == "stopped"


def test_pause_and_resume(oci, bundle):
    name = oci.up(bundle)
    oci.ok("pause", name)
    assert oci.status(name) == "paused"
    assert oci.call("pause", name).exit_code == 1
    oci.ok("resume", name)
    assert oci.status(name) == "running"
    assert oci.call("resume", name).exit_code == 1


def test_a_paused_container_can_be_killed(oci, bundle):
    name = oci.up(bundle)
    oci.ok("pause", name)
    oci.ok("kill", name, "KILL")
    oci.wait(name)
    assert oci.status(name) == "stopped"


def test_a_paused_container_can_be_deleted(oci, bundle):
    name = oci.up(bundle)
    oci.ok("pause", name)
    oci.ok("delete", "--force", name)
    assert oci.status(name) == ""


def test_delete_refuses_what_runs_unless_forced(oci, bundle):
    name = oci.up(bundle)
    done = oci.call("delete", name)
    assert done.exit_code == 1
    assert f"cannot delete container {name} that is not stopped: running" in done.stderr
    oci.ok("delete", "--force", name)
    assert oci.status(name) == ""


def test_delete_of_a_created_container_ends_it(oci, bundle):
    name = oci.create(bundle)
    pidfd = os.pidfd_open(oci.state(name)["pid"])
    oci.ok("delete", name)
    assert select.select([pidfd], [], [], SECONDS)[0]
    os.close(pidfd)


def test_what_does_not_exist(oci):
    for words in (
        ("state",), ("start",), ("kill",), ("delete",), ("pause",), ("resume",), ("ps",),
        ("update",), ("events",),
    ):  # fmt: skip
        done = oci.call(*words, "nobody")
        assert done.exit_code == 1, words
        assert "does not exist" in done.stderr, words
        assert "does not exist" in oci.messages("error")[-1], words
    assert oci.call("exec", "nobody", "true").exit_code == 255
    oci.ok("delete", "--force", "nobody")


def test_an_id_that_is_used(oci, bundle):
    name = oci.create(bundle)
    done = oci.try_create(bundle, name)
    assert done.exit_code == 1
    assert "container with given ID already exists" in done.stderr
    assert oci.status(name) == "created"


def test_start_happens_once(oci, bundle):
    name = oci.up(bundle)
    done = oci.call("start", name)
    assert done.exit_code == 1
    assert "cannot start an already running container" in done.stderr
    oci.ok("kill", name, "KILL")
    oci.wait(name)
    done = oci.call("start", name)
    assert done.exit_code == 1
    assert "cannot start a container that has stopped" in done.stderr


def test_update_by_flags_and_by_json(oci, bundle):
    name = oci.up(bundle)
    oci.ok("update", "--memory", "32M", "--pids-limit", "20", "--cpu-share", "512", name)
    assert _limit(oci, name, "memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert _limit(oci, name, "pids", "pids.max", "pids.max") == "20"
    change = json.dumps({"memory": {"limit": 64 << 20}}).encode()
    oci.ok("update", "--resources", "-", name, input=change)
    assert _limit(oci, name, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)


def test_a_bad_update_changes_nothing(oci, bundle):
    name = oci.up(bundle)
    oci.ok("update", "--memory", "32M", name)
    done = oci.call("update", "--memory", "much", name)
    assert done.exit_code == 1
    assert "invalid value for memory" in done.stderr
    assert oci.call("update", "--resources", "-", name, input=b"{").exit_code == 1
    assert _limit(oci, name, "memory", "memory.limit_in_bytes", "memory.max") == str(32 << 20)


def test_events_stats(oci, bundle):
    name = oci.up(bundle)
    event = json.loads(oci.ok("events", "--stats", name).stdout)
    assert event["type"] == "stats"
    assert event["id"] == name
    assert event["data"]["pids"]["current"] >= 1
    assert event["data"]["memory"]["usage"]["usage"] > 0


def test_events_end_with_the_container(oci, bundle):
    name = oci.up(bundle)
    words = oci.words("events", "--interval", "10ms", name)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        first, second = (json.loads(events.stdout.readline()) for _ in range(2))
        assert first["type"] == second["type"] == "stats"
        oci.ok("delete", "--force", name)
        assert events.wait(SECONDS) == 0


def test_events_tell_of_a_lack_of_memory(oci, bundle):
    bundle.linux["resources"]["memory"] = {"limit": 16 << 20}
    bundle.shell("read line; tail /dev/zero; sleep 1000")
    gate_read, gate_write = os.pipe()
    name = oci.up(bundle, stdin=gate_read)
    words = oci.words("events", "--interval", "10ms", name)
    with subprocess.Popen(words, stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        events.stdout.readline()  # it watches
        os.write(gate_write, b"\n")
        kinds = iter(json.loads(line)["type"] for line in events.stdout)
        assert "oom" in kinds
        events.send_signal(signal.SIGKILL)
    os.close(gate_read)
    os.close(gate_write)


def test_the_log_is_one_json_object_a_line(oci):
    oci.call("state", "nobody")
    (line,) = oci.log.read_text().splitlines()
    assert set(json.loads(line)) == {"level", "msg", "time"}
    assert json.loads(line)["level"] == "error"


def _limit(oci, name: str, controller: str, v1: str, v2: str) -> str:
    """Return a limit of a container, from the cgroup that its process is in."""
    places = Path(f"/proc/{oci.state(name)['pid']}/cgroup").read_text()
    for line in places.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return Path(f"/sys/fs/cgroup/{controllers}{path}/{v1}").read_text().strip()
        if not controllers:
            unified = path
    return Path(f"/sys/fs/cgroup{unified}/{v2}").read_text().strip()
