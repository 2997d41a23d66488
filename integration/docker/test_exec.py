"""`docker exec`: another program in a container that runs."""

from __future__ import annotations

import pytest

from integration.engines.dockerd import IMAGE


@pytest.fixture
def name(docker):
    """Return a container that runs."""
    return docker.start(
        "--cap-drop=MKNOD", "-e", "GIVEN=before", "-w", "/tmp", IMAGE, "sleep", "1000"
    )


def test_output_error_and_status_reach_the_caller(docker, name):
    done = docker("exec", name, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")


def test_standard_input_reaches_the_program(docker, name):
    assert docker("exec", "-i", name, "cat", stdin="typed").out == "typed"


@pytest.mark.parametrize("what", ["ns/pid", "ns/net", "ns/ipc", "ns/uts", "ns/mnt", "root"])
def test_it_is_in_the_containers_namespaces(docker, name, what):
    script = f"readlink /proc/1/{what}; readlink /proc/self/{what}"
    first, second = docker("exec", name, "sh", "-c", script).words
    assert first == second


def test_it_is_in_the_containers_cgroups(docker, name):
    first, second = (docker("exec", name, "cat", f"/proc/{it}/cgroup").out for it in ("1", "self"))
    assert first == second


def test_environment_directory_and_user(docker, name):
    script = "echo $GIVEN $ADDED; pwd; id"
    assert docker("exec", name, "sh", "-c", script).words[:3] == ["before", "/tmp", "uid=0(root)"]
    flags = ("-e", "ADDED=now", "-w", "/etc", "-u", "worker")
    done = docker("exec", *flags, name, "sh", "-c", script)
    assert done.words[:3] == ["before", "now", "/etc"]
    assert done.words[3:] == ["uid=1000(worker)", "gid=1000(worker)", "groups=1000(worker)"]


def test_it_has_the_containers_capabilities(docker, name):
    show = ("grep", "-E", "CapEff|CapBnd", "/proc/self/status")
    full = "00000000a00425fb"
    assert docker("exec", name, *show).words == ["CapEff:", full, "CapBnd:", full]
    assert docker("exec", "-u=1000", name, *show).words == ["CapEff:", "0" * 16, "CapBnd:", full]


def test_a_terminal_is_a_real_one(name, terminal):
    person = terminal("exec", "-it", name, "sh")
    person.type("tty\n")
    person.read_until(r"\n/dev/pts/0\r")
    person.type("until stty size 2>&1 | grep '^33 101'; do :; done\n")
    person.read_until(r"\n33 101\r")
    person.type("exit 5\n")
    assert person.end() == 5


@pytest.mark.parametrize(
    ("program", "words"),
    [("nothing-here", "executable file not found"), ("/etc/data", "permission denied")],
)
def test_a_program_that_cannot_start_is_told(docker, name, program, words):
    done = docker("exec", name, program, check=False)
    assert done.status in (126, 127), done
    # crun begins its words with a capital, and puts the name between them.
    assert words.split()[-1] in done.out + done.err
    assert docker("exec", name, "echo", "still here").out == "still here\n"


def test_in_the_background(docker, name):
    docker("exec", "-d", name, "sh", "-c", "mkfifo /tmp/fifo; echo ready >/tmp/fifo; sleep 999")
    done = docker("exec", name, "sh", "-c", "until [ -p /tmp/fifo ]; do :; done; cat /tmp/fifo")
    assert done.out == "ready\n"
    assert "sleep 999" in docker("exec", name, "ps").out


def test_many_after_each_other_leave_no_process(docker, name):
    for _ in range(5):
        docker("exec", name, "true")
    lines = docker("exec", name, "ps", "-o", "args").out.splitlines()
    assert lines[1:] == ["sleep 1000", "ps -o args"]


def test_refused_when_the_container_does_not_run(docker, name):
    docker("kill", name)
    docker("wait", name)
    done = docker("exec", name, "true", check=False)
    assert done.status == 1
    assert "is not running" in done.err
