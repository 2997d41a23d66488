"""Trials in a throwaway child: what they tell apart, and that they leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import msgspec
import pytest

from nestbox.kernel import constants, reading, trials

# Loads a filter that answers single system calls in its own way, then tries them all.
FILTERED = """
import errno, os, signal, struct, sys
import msgspec
from nestbox.kernel import constants as c, syscalls, trials
from nestbox.kernel._syscalls import ffi

RET_KILL_PROCESS, RET_TRAP, RET_ERRNO = 0x80000000, 0x00030000, 0x00050000
RET_USER_NOTIF, RET_ALLOW = 0x7FC00000, 0x7FFF0000
actions = {number: eval(action) for number, action in msgspec.json.decode(sys.argv[1]).items()}
program = [struct.pack("=HBBI", 0x20, 0, 0, 0)]
for number, action in actions.items():
    program.append(struct.pack("=HBBI", 0x15, 0, 1, int(number)))
    program.append(struct.pack("=HBBI", 0x06, 0, 0, action))
program.append(struct.pack("=HBBI", 0x06, 0, 0, RET_ALLOW))
code = ffi.from_buffer(b"".join(program))
fprog = ffi.new("uint64_t[2]", [len(program), int(ffi.cast("uintptr_t", code))])
syscalls.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
flags = c.SECCOMP_FILTER_FLAG_NEW_LISTENER if RET_USER_NOTIF in actions.values() else 0
listener = syscalls.seccomp(c.SECCOMP_SET_MODE_FILTER, flags, fprog)
if sys.argv[3] == "interrupted":
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
found = trials.try_syscalls(can_setgroups=True, limit_ms=int(sys.argv[2]))
signal.setitimer(signal.ITIMER_REAL, 0)
sys.stdout.buffer.write(msgspec.json.encode(found))
"""

# x86_64 and the generic table; the tests ask for what the running machine has.
NUMBERS = {
    "x86_64": {"mount": 165, "keyctl": 250, "pivot_root": 155, "setns": 308, "clone3": 435},
    "aarch64": {"mount": 40, "keyctl": 219, "pivot_root": 41, "setns": 268, "clone3": 435},
}
NUMBER = NUMBERS.get(os.uname().machine, {})
needs_numbers = pytest.mark.skipif(
    not NUMBER, reason="numbers of system calls are known for x86_64 and aarch64"
)


def _under_filter(actions, limit_ms=trials.LIMIT_MS, signals=""):
    """Return the trials of a process whose filter treats these system calls so."""
    encoded = msgspec.json.encode({str(NUMBER[name]): value for name, value in actions.items()})
    done = subprocess.run(
        [sys.executable, "-c", FILTERED, encoded.decode(), str(limit_ms), signals],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout)


@needs_numbers
@pytest.mark.root
def test_a_filter_s_enosys_eperm_and_kill_are_told_apart():
    found = _under_filter(
        {
            "clone3": "RET_ERRNO | errno.ENOSYS",
            "mount": "RET_ERRNO | errno.EPERM",
            "keyctl": "RET_KILL_PROCESS",
            "pivot_root": "RET_TRAP",
        }
    )
    refused = {name: error for name, error in found.items() if error is not None}
    assert refused == {
        "clone3": "ENOSYS",
        "mount": "EPERM",
        "keyctl": "KILLED",
        "pivot_root": "KILLED",
    }


@needs_numbers
@pytest.mark.root
@pytest.mark.parametrize("signals", ["", "interrupted"])
def test_a_call_that_nobody_answers_times_out_and_the_others_are_still_tried(signals):
    found = _under_filter({"keyctl": "RET_USER_NOTIF"}, limit_ms=200, signals=signals)
    assert found.pop("keyctl") == "TIMEOUT"
    assert set(found.values()) == {None}
    assert len(found) == len(trials.syscall_names()) - 1


def test_without_a_filter_the_kernel_answers_every_call():
    status = reading.read_proc("/proc/self/status")
    if b"\nSeccomp:\t0\n" not in status:
        pytest.skip("a seccomp filter is on this process")
    assert set(trials.try_syscalls(can_setgroups=False).values()) == {None}


def test_a_call_is_left_out_where_the_kernel_itself_would_answer_eperm():
    assert "setgroups" not in trials.try_syscalls(can_setgroups=False)


@pytest.mark.root
def test_what_a_launch_needs_is_left_out_without_any_namespace_to_own():
    # uid 1 without capabilities, in a user namespace that allows no further one
    script = (
        "import sys; from nestbox.kernel import trials;"
        "print(*trials.try_syscalls(can_setgroups=False))"
    )
    limit = "/proc/sys/user/max_user_namespaces"
    shell = f'echo 0 > {limit} && exec setpriv --bounding-set=-all "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", shell, sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tried = set(done.stdout.split())
    assert {"clone3", "unshare", "mount", "openat2"} <= tried
    assert not {"fsopen", "fsmount", "move_mount", "pivot_root", "sethostname"} & tried


@pytest.mark.root
@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_a_namespace_that_can_be_made_is_made_in_the_child_only(in_user_namespace):
    before = {name: os.stat(f"/proc/thread-self/ns/{name}").st_ino for name in ("mnt", "user")}
    error = trials.try_unshare(constants.CLONE_NEWNS, in_user_namespace=in_user_namespace)
    assert error is None
    assert before == {
        name: os.stat(f"/proc/thread-self/ns/{name}").st_ino for name in ("mnt", "user")
    }


def test_every_step_to_a_user_namespace_of_use_is_tried():
    assert trials.try_user_steps() == dict.fromkeys(trials.USER_STEPS)


@pytest.mark.root
@pytest.mark.parametrize(
    ("before", "found"),
    [
        ("echo 0 > /proc/sys/user/max_user_namespaces", {"make": "ENOSPC"}),
        ("echo 0 > /proc/sys/user/max_uts_namespaces", {"rights": "ENOSPC"}),
        ("mount -o remount,bind,ro /proc", {"setgroups": "EROFS"}),
    ],
    ids=["make", "rights", "setgroups"],
)
def test_a_step_that_fails_is_named_and_ends_the_trial(before, found):
    script = (
        "from nestbox.kernel import trials; import msgspec, sys;"
        "sys.stdout.buffer.write(msgspec.json.encode(trials.try_user_steps()))"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
         f'{before}; exec "$0" "$@"', sys.executable, "-c", script],
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tried = msgspec.json.decode(done.stdout)
    assert {name: error for name, error in tried.items() if error} == found
    assert list(tried) == list(trials.USER_STEPS[: len(tried)])


def test_a_namespace_that_the_kernel_does_not_know_is_refused():
    assert trials.try_unshare(1, in_user_namespace=False) == "EINVAL"


@pytest.mark.root
@pytest.mark.parametrize("kind", [trials.Overlay.TMPFS, trials.Overlay.USER])
def test_an_overlay_on_a_tmpfs_leaves_the_covered_directory_alone(kind, tmp_path):
    (tmp_path / "file").write_text("kept")
    assert trials.try_overlay("/usr", str(tmp_path), kind) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.root
def test_an_overlay_in_a_directory_that_lacks_its_layers_names_the_errno(tmp_path):
    assert trials.try_overlay("/usr", str(tmp_path), trials.Overlay.DIRECTORY) == "ENOENT"


@pytest.mark.root
def test_a_device_node_is_made_and_opened(tmp_path):
    assert trials.try_mknod(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_without_the_capability_no_device_node_is_made():
    script = "from nestbox.kernel import trials; print(trials.try_mknod('/proc'))"
    done = subprocess.run(
        ["capsh", "--drop=cap_mknod", "--shell=" + sys.executable, "--", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "EPERM", done.stderr


@pytest.mark.root
def test_trials_leave_no_process_no_mount_and_no_descriptor():
    mounts = reading.read_proc("/proc/self/mountinfo")
    descriptors = sorted(os.listdir("/proc/self/fd"))
    trials.try_syscalls(can_setgroups=True)
    trials.try_unshare(constants.CLONE_NEWNET, in_user_namespace=True)
    trials.try_overlay("/usr", "/proc", trials.Overlay.TMPFS)
    assert reading.read_proc("/proc/self/mountinfo") == mounts
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    children = reading.read_proc(f"/proc/self/task/{threading.get_native_id()}/children")
    assert children == b""


@pytest.mark.root
def test_trials_from_many_threads_at_once_all_work():
    errors = []

    def run():
        for _ in range(5):
            errors.append(trials.try_unshare(constants.CLONE_NEWNS, in_user_namespace=False))
            errors.extend(trials.try_syscalls(can_setgroups=True).values())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 8 * 5 * (1 + len(trials.syscall_names()))
    assert set(errors) == {None}


def test_a_score_is_tried_and_our_own_stays():
    def own():
        with open("/proc/self/oom_score_adj", "rb") as file:
            return file.read()

    before = own()
    assert trials.try_oom_score(1000) is None
    assert own() == before
    assert trials.try_oom_score(1001) == "EINVAL"
