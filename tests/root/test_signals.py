"""Signals reach the container; orphans are reaped; the death of nestbox is the container's too."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.root.driver import end, expect_line

pytestmark = pytest.mark.usefixtures("nothing_left")

WAIT = "echo ready; while :; do sleep 0.05; done"
# A child that outlives its parent becomes the first process's, which lists what it has not reaped.
ORPHAN = "(true & exec sleep 0.1) & sleep 0.4; ps -o stat,comm"


@pytest.fixture
def waiting(nestbox, image):
    """Return a function that starts a shell script in a container and waits for its "ready"."""
    started = []

    def start(script, *flags):
        process = nestbox.start(*flags, "--rootfs", str(image), "--", "sh", "-c", script)
        started.append(process)
        expect_line(process, b"ready")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("init", [(), ("--init",)])
@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "USR2", "INT", "QUIT"])
def test_a_signal_reaches_the_program(waiting, name, init):
    process = waiting(f"trap 'echo got {name}; exit 7' {name}; {WAIT}", *init)
    process.send_signal(getattr(signal, f"SIG{name}"))
    done = end(process)
    assert done.exit_code == 7
    assert done.stdout == f"got {name}\n"


def test_a_real_time_signal_reaches_the_program(waiting):
    process = waiting(f"trap 'exit 9' 36; {WAIT}")
    process.send_signal(36)
    assert end(process).exit_code == 9


def test_the_third_request_to_end_kills(waiting):
    process = waiting(f"trap 'echo no' INT; {WAIT}")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        expect_line(process, b"no")
    process.send_signal(signal.SIGINT)
    assert end(process).exit_code == 137


def test_a_stop_is_not_forwarded_and_leaves_the_container_running(waiting):
    process = waiting(f"trap 'exit 5' TERM; {WAIT}")
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    assert end(process).exit_code == 5


def test_an_init_hands_the_signal_on_and_returns_the_programs_end(waiting):
    process = waiting("echo ready; exec sleep 60", "--init")
    process.send_signal(signal.SIGTERM)
    assert end(process).exit_code == 128 + signal.SIGTERM


def test_an_init_reaps_orphans(nestbox, image):
    words = ("--init", "--rootfs", str(image), "--", "sh", "-c", ORPHAN)
    done = nestbox.run(*words)
    assert done.exit_code == 0
    assert "Z" not in [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_what_still_runs_ends_with_the_first_process(nestbox, image, surroundings):
    before = surroundings().children
    done = nestbox.run("--rootfs", str(image), "--", "sh", "-c", "sleep 1000 & sleep 1000 & exit 4")
    assert done.exit_code == 4
    assert surroundings().children == before


@pytest.mark.parametrize("init", [(), ("--init",)])
@pytest.mark.parametrize("user", ["0", "1000"])
def test_the_container_dies_with_a_killed_nestbox(nestbox, waiting, image, orphans, init, user):
    process = waiting(WAIT, "--user", user, *init)
    process.kill()
    assert end(process).exit_code == -signal.SIGKILL
    assert orphans() == 1
    # The next command removes what the killed one could not.
    assert nestbox.run("--rootfs", str(image), "--", "true").exit_code == 0


def test_a_caller_that_ignores_the_end_of_children_still_gets_the_exit_code(nestbox, image):
    script = "import os,signal,sys;signal.signal(signal.SIGCHLD,signal.SIG_IGN);"
    script += "os.execv(sys.argv[1],sys.argv[1:])"
    words = ("--rootfs", str(image), "--", "sh", "-c", "exit 3")
    done = nestbox.run(*words, before=[sys.executable, "-c", script])
    assert (done.exit_code, done.stderr) == (3, "")


def test_signals_are_neither_blocked_nor_ignored_in_the_container(nestbox, image):
    done = nestbox.run("--rootfs", str(image), "--", "probe", "signals")
    assert done.facts == {"blocked": "0", "ignored": "0"}


def test_ignored_and_blocked_signals_of_the_caller_are_not_inherited(nestbox, image):
    words = nestbox.arguments("--rootfs", str(image), "--", "probe", "signals")
    script = "import os,signal,sys;signal.signal(2,signal.SIG_IGN);"
    script += "signal.pthread_sigmask(signal.SIG_BLOCK,[10,12]);os.execv(sys.argv[1],sys.argv[1:])"
    done = nestbox.call(["/usr/bin/env", "python3", "-c", script, *words])
    assert done.exit_code == 0, done.stderr
    assert done.facts["blocked"] == "0"
