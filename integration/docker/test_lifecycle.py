"""From `docker create` to `docker rm`: start, stop, pause, signals, health, what is left."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from integration.engines.dockerd import IMAGE
from integration.engines.waiting import wait_until

# A shell that says when it is ready, and what signal came.
TRAP = "trap 'echo told; exit 4' {}; echo ready; while :; do sleep 0.02; done"


def _ready(docker, name, word="ready"):
    wait_until(lambda: word in docker("logs", name).out, f"{name} says {word!r}")


def test_created_then_started(docker):
    name = docker("create", "--network=none", IMAGE, "sh", "-c", "echo ran").out.strip()
    assert docker.state(name)["Status"] == "created"
    assert docker("start", "--attach", name).out == "ran\n"
    state = docker.state(name)
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)


def test_started_again_keeps_its_files(docker):
    name = docker("create", "--network=none", IMAGE, "sh", "-c", "echo x >>/f; wc -l </f").out
    assert [docker("start", "--attach", name.strip()).out for _ in range(2)] == ["1\n", "2\n"]


def test_wait_tells_the_status(docker):
    name = docker.start(IMAGE, "sh", "-c", "exit 9")
    assert docker("wait", name).out == "9\n"


def test_paused_processes_do_not_run(docker):
    name = docker.start(IMAGE, "sh", "-c", "while :; do date +%s%N >/now; done")
    docker("pause", name)
    assert docker.state(name)["Status"] == "paused"
    frozen = docker("exec", name, "true", check=False)
    assert frozen.status == 1
    assert "is paused" in frozen.err
    first, second = (docker("cp", f"{name}:/now", "-").out for _ in range(2))
    assert first == second
    docker("unpause", name)
    assert docker.state(name)["Status"] == "running"
    wait_until(lambda: docker("cp", f"{name}:/now", "-").out != first, "the program goes on")


@pytest.mark.parametrize(("sent", "name"), [("HUP", "HUP"), ("SIGUSR1", "USR1"), ("12", "USR2")])
def test_signals_by_name_and_number(docker, sent, name):
    container = docker.start(IMAGE, "sh", "-c", TRAP.format(name))
    _ready(docker, container)
    docker("kill", f"--signal={sent}", container)
    assert docker("wait", container).out == "4\n"
    assert docker("logs", container).out == "ready\ntold\n"


def test_kill_ends_every_process(docker):
    name = docker.start(IMAGE, "sh", "-c", "sleep 1111 & sleep 1111 & echo ready; wait")
    _ready(docker, name)
    assert docker("top", name, "-o", "pid,args").out.count(" sleep 1111\n") == 2
    docker("kill", name)
    assert docker("wait", name).out == "137\n"
    assert " sleep 1111\n" not in docker.enclosure.run("ps", "axo", "pid,args").out


def test_stop_asks_first(docker):
    name = docker.start(IMAGE, "sh", "-c", TRAP.format("TERM"))
    _ready(docker, name)
    docker("stop", "--time=30", name)
    assert docker.state(name)["ExitCode"] == 4


def test_stop_kills_what_does_not_listen(docker):
    name = docker.start(IMAGE, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done")
    _ready(docker, name)
    docker("stop", "--time=1", name)
    assert docker.state(name)["ExitCode"] == 137


def test_stop_uses_the_signal_of_the_container(docker):
    name = docker.start("--stop-signal=USR1", IMAGE, "sh", "-c", TRAP.format("USR1"))
    _ready(docker, name)
    docker("stop", "--time=30", name)
    assert docker("logs", name).out == "ready\ntold\n"


def test_restart(docker):
    name = docker.start(IMAGE, "sh", "-c", "echo ready; exec sleep 1000")
    before = docker.state(name)["Pid"]
    docker("restart", "--time=0", name)
    assert docker.state(name)["Pid"] not in (0, before)
    wait_until(lambda: docker("logs", name).out == "ready\nready\n", "it starts twice")


def test_restarted_when_it_fails(docker):
    name = docker.start("--restart=on-failure:2", IMAGE, "sh", "-c", "echo ran; exit 3")
    wait_until(lambda: docker("logs", name).out.count("ran") == 3, "two more starts")
    assert docker("wait", name).out == "3\n"
    assert docker.inspect(name)["RestartCount"] == 2


def test_health(docker):
    flags = ("--health-cmd=test -e /tmp/well", "--health-interval=200ms", "--health-retries=1")
    name = docker.start(*flags, IMAGE, "sleep", "1000")
    wait_until(lambda: docker.state(name)["Health"]["Status"] == "unhealthy", "it is found ill")
    docker("exec", name, "touch", "/tmp/well")
    wait_until(lambda: docker.state(name)["Health"]["Status"] == "healthy", "it is found well")


def test_logs_with_time_and_tail(docker):
    name = docker.start(IMAGE, "sh", "-c", "for i in 1 2 3; do echo line $i; done")
    docker("wait", name)
    assert docker("logs", "--tail=1", name).out == "line 3\n"
    assert docker("logs", "--timestamps", name).out.count("Z line ") == 3


def test_attach_and_detach(docker, terminal):
    name = docker("run", "-dit", "--network=none", IMAGE, "sh").out.strip()
    person = terminal("attach", name)
    person.type("echo $((6 * 7))\n")
    person.read_until(r"\n42\r")
    person.type("\x10\x11")  # ctrl-p ctrl-q
    person.read_until("read escape sequence")
    person.end()
    assert docker.state(name)["Status"] == "running"


def test_top(docker):
    name = docker.start("-u=1000", IMAGE, "sleep", "1357")
    lines = docker("top", name, "-o", "pid,uid,args").out.splitlines()
    assert lines[1].split() == [str(docker.state(name)["Pid"]), "1000", "sleep", "1357"]


def test_copied_in_and_out(docker, tmp_path):
    (tmp_path / "given").write_text("given\n")
    name = docker.start(IMAGE, "sleep", "1000")
    docker("cp", tmp_path / "given", f"{name}:/tmp/given")
    assert docker("exec", name, "cat", "/tmp/given").out == "given\n"
    docker("exec", name, "sh", "-c", "echo made >/tmp/made")
    docker("cp", f"{name}:/tmp/made", tmp_path / "made")
    assert (tmp_path / "made").read_text() == "made\n"


def test_changes_and_commit(docker):
    name = docker.start(IMAGE, "sh", "-c", "echo new >/added; rm /etc/data; exec sleep 1000")
    wait_until(lambda: "D /etc/data" in docker("diff", name).out, "the changes are seen")
    assert "A /added" in docker("diff", name).out
    docker("commit", name, "changed:1")
    assert docker.run("changed:1", "cat", "/added").out == "new\n"
    docker("rmi", "--force", "changed:1")


def test_the_process_is_the_one_that_the_engine_names(docker):
    name = docker.start(IMAGE, "sleep", "2468")
    command = docker.enclosure.run("cat", f"/proc/{docker.state(name)['Pid']}/cmdline").out
    assert command == "sleep\x002468\x00"


def test_a_program_that_dies_is_seen(docker):
    name = docker.start(IMAGE, "sleep", "1000")
    os.kill(docker.state(name)["Pid"], 9)
    assert docker("wait", name).out == "137\n"


def test_a_container_whose_shim_was_killed_is_cleaned_up(docker):
    name = docker.start("--restart=no", IMAGE, "sh", "-c", "sleep 1919 & sleep 1919")
    status = Path(f"/proc/{docker.state(name)['Pid']}/status").read_text()
    shim = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid"))
    os.kill(shim, signal.SIGKILL)
    wait_until(lambda: docker.state(name)["Status"] == "exited", "the engine notices")
    processes = docker.enclosure.run
    wait_until(
        lambda: " sleep 1919\n" not in processes("ps", "axo", "pid,args").out, "its processes end"
    )
    docker("start", name)
    assert docker.state(name)["Running"]


def test_nothing_is_left_of_a_removed_container(docker):
    name = docker.start(IMAGE, "sleep", "1000")
    # A record is there to be asked afterwards.
    find = f"find /run /sys/fs/cgroup -name @records -prune -o -name '*{name}*' -print"
    find = ("sh", "-c", f"{find}; grep {name} /proc/mounts")
    assert docker.enclosure.run(*find, check=False).out
    docker("rm", "--force", name)
    assert docker.enclosure.run(*find, check=False).out == ""


def test_events_tell_the_story(docker):
    name = docker.start(IMAGE, "true")
    docker("wait", name)
    docker("rm", name)
    words = ("events", "--since=1m", "--until=0s", f"--filter=container={name}")

    def told() -> list[str]:
        lines = docker(*words, "--format={{json .}}").out.splitlines()
        return [json.loads(line)["Action"] for line in lines]

    # The engine tells what is older than the present second.
    wait_until(lambda: "destroy" in told(), "the last event")
    kept = ("create", "start", "die", "destroy")
    assert tuple(action for action in told() if action in kept) == kept
