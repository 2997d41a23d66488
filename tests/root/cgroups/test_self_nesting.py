"""Self-nesting by itself: many at once, killed midway, undone. On any version 2 hierarchy."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.kernel.constants import CLONE_NEWPID
from nestbox.kernel.syscalls import unshare
from nestbox.outer.cgroup_details import observe_details
from nestbox.outer.facts import CgroupRoom
from nestbox.policy.cgroup_nesting import LEAF
from nestbox.runtime.cgroup.nesting import nest
from tests.root.cgroups.places import SECONDS, made, processes, unified

TOGETHER = 16
FAILED, UNEXPECTED = 3, 4
# Each of its processes lives for a moment, so that some are born while others are moved.
BUSY = "while :; do /bin/true & wait $!; done"


@pytest.fixture
def own():
    """Give a cgroup that is to be divided."""
    with made(f"nestbox-test-{os.getpid()}") as directory:
        yield directory


@pytest.fixture
def resident(own):
    """Return a function that starts a process in the cgroup; all end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        words = ["sh", "-c", f'echo $$ > {own}/cgroup.procs && echo in && exec "$@"', "sh"]
        process = subprocess.Popen([*words, *command], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def divide(own: Path, *, enter: bool = True, seconds: float = 10.0) -> int:
    """Return the pid of a child that nests its cgroup and ends with 0, or as above."""
    pid = os.fork()
    if pid:
        return pid
    code = UNEXPECTED
    try:
        if enter:
            (own / "cgroup.procs").write_text("0")
        nest(str(own), (), seconds=seconds)
        code = 0
    except LaunchError:
        code = FAILED
    finally:
        os._exit(code)


def code_of(pid: int) -> int:
    """Return how a child ended, within a time limit."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("it hangs")


def test_all_processes_are_in_the_leaf(own, resident):
    pids = {resident("sleep", "60").pid for _ in range(5)}
    assert code_of(divide(own)) == 0
    assert processes(own) == []
    assert set(processes(own / LEAF)) == pids


def test_many_at_once_all_succeed(own, resident):
    resident("sleep", "60")
    children = [divide(own) for _ in range(TOGETHER)]
    assert [code_of(pid) for pid in children] == [0] * TOGETHER
    assert processes(own) == []
    assert len(processes(own / LEAF)) == 1


def test_processes_that_are_born_meanwhile_move_too(own, resident):
    for _ in range(2):
        resident("sh", "-c", BUSY)
    assert code_of(divide(own)) == 0
    assert processes(own) == []


def test_a_second_time_nothing_changes(own, resident):
    pid = resident("sleep", "60").pid
    for _ in range(2):
        assert code_of(divide(own)) == 0
    assert processes(own / LEAF) == [pid]


def test_one_killed_in_the_middle_leaves_a_cgroup_in_which_the_next_succeeds(own, resident):
    pids = {resident("sleep", "60").pid for _ in range(40)}
    killed = divide(own, enter=False)
    end = time.monotonic() + SECONDS
    while not (own / LEAF).exists() or not processes(own / LEAF):
        assert time.monotonic() < end
    os.kill(killed, signal.SIGKILL)
    assert code_of(killed) in {-signal.SIGKILL, 0}
    assert set(processes(own)) | set(processes(own / LEAF)) == pids
    assert code_of(divide(own, enter=False)) == 0
    assert (processes(own), set(processes(own / LEAF))) == ([], pids)


def test_a_cgroup_without_room_for_a_leaf_is_left_as_it_was(own, resident):
    pid = resident("sleep", "60").pid
    (own / "cgroup.max.descendants").write_text("0")
    with pytest.raises(LaunchError, match=r"cgroup\.max\.descendants"):
        nest(str(own), ())
    assert processes(own) == [pid]
    assert not (own / LEAF).exists()


def test_a_frozen_leaf_of_somebody_else_stops_nobody(own, resident):
    pid = resident("sleep", "60").pid
    (own / LEAF).mkdir()
    (own / LEAF / "cgroup.freeze").write_text("1")
    with pytest.raises(LaunchError, match="frozen"):
        nest(str(own), ())
    assert processes(own) == [pid]
    assert (own / LEAF).exists()


def test_a_leaf_of_another_user_gets_no_power_over_our_processes(own, resident):
    pid = resident("sleep", "60").pid
    (own / LEAF).mkdir()
    os.chown(own / LEAF, 65534, 65534)
    with pytest.raises(LaunchError, match="belongs to uid 65534"):
        nest(str(own), ())
    assert processes(own) == [pid]


def test_a_leaf_of_another_type_is_refused(own, resident):
    pid = resident("sleep", "60").pid
    (own / LEAF).mkdir()
    (own / LEAF / "cgroup.type").write_text("threaded")
    with pytest.raises(LaunchError, match="threaded"):
        nest(str(own), ())
    assert processes(own) == [pid]


def test_a_lock_that_is_held_costs_the_time_limit_and_no_more(own, resident):
    pid = resident("sleep", "60").pid
    holder = os.open(own, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        started = time.monotonic()
        with pytest.raises(LaunchError, match="lock"):
            nest(str(own), (), seconds=0.2)
        assert time.monotonic() - started < SECONDS
    finally:
        os.close(holder)
    assert processes(own) == [pid]


def test_a_process_that_we_do_not_see_undoes_it_all(own, resident):
    """In a pid namespace of its own a nestbox cannot name the processes outside of it."""
    outside = resident("sleep", "60").pid
    pid = os.fork()
    if not pid:
        code = UNEXPECTED
        try:
            unshare(CLONE_NEWPID)
            code = code_of(divide(own))
        finally:
            os._exit(code)
    assert code_of(pid) == FAILED
    assert processes(own) == [outside]
    assert not (own / LEAF).exists()


def test_a_cgroup_that_is_gone_is_told(own):
    gone = own / "gone"
    gone.mkdir()
    gone.rmdir()
    with pytest.raises(LaunchError, match="vanished"):
        nest(str(gone), ())


def test_the_kernel_tells_what_policy_goes_by(own, resident):
    """That of the kernel itself: the fields that the pure tests make up."""
    resident("sleep", "60")
    (own / "one").mkdir()
    (own / "cgroup.max.descendants").write_text("3")
    os.setxattr(own, "user.delegate", b"1")
    found = observe_details(str(own), str(unified()))
    assert (found["kind"], found["processes"], found["unseen"]) == ("domain", 1, 0)
    assert (found["owner"], found["delegated"], found["closed"]) == (0, True, ())
    assert not found["managed"]
    assert found["room"] == CgroupRoom(count=2, file=f"{own}/cgroup.max.descendants")
    (own / "one" / "cgroup.type").write_text("threaded")
    assert observe_details(str(own), str(unified()))["kind"] == "domain threaded"
    assert observe_details(str(unified()), str(unified()))["kind"] == ""


def test_a_controller_that_is_not_there_undoes_it_all(own, resident):
    pid = resident("sleep", "60").pid
    before = (own / "cgroup.subtree_control").read_text()
    with pytest.raises(LaunchError):
        nest(str(own), ("no-such-controller",))
    assert processes(own) == [pid]
    assert not (own / LEAF).exists()
    assert (own / "cgroup.subtree_control").read_text() == before
