"""Containers below the seccomp filters that engines put on them, older and newer ones."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from tests.root.driver import Done, Driver

pytestmark = pytest.mark.usefixtures("nothing_left")

# Answers system calls in the way that argv says, NAME=ERRNO or NAME=KILL, and executes the rest.
FILTER = """
import errno, os, struct, sys
from nestbox.kernel import constants as c, syscalls, trials
from nestbox.kernel._syscalls import ffi
end = sys.argv.index("--")
numbers = trials.syscall_numbers()
rows = [(0x20, 0, 0, 0)]
for item in sys.argv[1:end]:
    name, _, answer = item.partition("=")
    action = 0x80000000 if answer == "KILL" else 0x50000 | getattr(errno, answer)
    rows += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, action)]
rows.append((0x06, 0, 0, 0x7FFF0000))
code = ffi.from_buffer(b"".join(struct.pack("=HBBI", *row) for row in rows))
program = ffi.new("uint64_t[2]", [len(rows), int(ffi.cast("uintptr_t", code))])
syscalls.seccomp(c.SECCOMP_SET_MODE_FILTER, 0, program)
os.execvp(sys.argv[end + 1], sys.argv[end + 1:])
"""
QUIET = ("--log-level", "error")


@pytest.fixture
def below(nestbox: Driver, image: Path):
    """Return a function that runs a container below a filter, of the small root by default."""

    def run(
        *answers: str, words: tuple[str, ...] = (), root: str = "", command: tuple[str, ...]
    ) -> Done:
        before = [sys.executable, "-c", FILTER, *answers, "--"]
        return nestbox.run(*words, "--rootfs", root or str(image), "--", *command, before=before)

    return run


@pytest.mark.parametrize("answer", ["ENOSYS", "EPERM", "KILL"])
@pytest.mark.parametrize("words", [(), ("--userns", "auto")], ids=["root", "userns"])
def test_a_filter_that_hides_clone3_stops_no_launch(below, answer: str, words: tuple[str, ...]):
    """Docker's filter answers ENOSYS since 20.10.10, and EPERM before."""
    done = below(f"clone3={answer}", words=(*QUIET, *words), command=("probe", "ids"))
    assert done.exit_code == 0, done.stderr
    assert done.facts["uid"] == "0"


def test_the_decision_to_start_by_clone_is_recorded(nestbox: Driver, image: Path):
    before = [sys.executable, "-c", FILTER, "clone3=ENOSYS", "--"]
    words = ("--rootfs", str(image), "--", "true")
    done, record = nestbox.recorded(*words, before=before)
    assert done.exit_code == 0, done.stderr
    (decision,) = [one for one in record["decisions"] if one["subject"] == "start"]
    assert decision["chosen"] == "clone(2)"
    assert "clone3 ENOSYS" in decision["cause"]


@pytest.mark.parametrize("profile", ["default", "privileged"])
def test_refused_calls_that_libraries_do_without_get_enosys_inside(below, profile: str):
    done = below(
        "renameat2=EPERM",
        "copy_file_range=EPERM",
        words=("--profile", profile, *QUIET),
        root="host",
        command=(
            sys.executable,
            "-c",
            "import os\ntry: os.copy_file_range(0, 1, 1)\nexcept OSError as e: print(e.errno)",
        ),
    )
    assert done.stdout.strip() == str(errno.ENOSYS), done.stderr


def test_a_limit_holds_for_a_container_that_clone_started(below):
    done = below(
        "clone3=EPERM",
        words=("--pids-limit", "5", *QUIET),
        command=("probe", "fork", "20"),
    )
    assert done.exit_code == 0, done.stderr
    assert done.facts["fork"] == str(errno.EAGAIN)


def test_a_filter_without_what_a_launch_needs_is_refused_with_its_answers(below):
    done = below("clone3=ENOSYS", "openat2=EPERM", "statx=EPERM", command=("true",))
    assert done.exit_code == 125
    assert "openat2 EPERM" in done.stderr
    assert "clone3" not in done.stderr
    assert "because:" in done.stderr


def test_a_filter_that_kills_what_a_launch_needs_is_refused_too(below):
    done = below("mount_setattr=KILL", command=("true",))
    assert done.exit_code == 125
    assert "mount_setattr KILLED" in done.stderr
