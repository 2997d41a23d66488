"""nestbox in nestbox in nestbox: the present root at any depth, as root and as an ordinary user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.users import another_user

pytestmark = pytest.mark.usefixtures("nothing_left")

DEPTH = 5
USER = 61234  # of the fixture "ordinary"
# What a program needs of a root, whatever it is made of.
WORK = (
    "set -e; echo a > /tmp/made; cat /tmp/made; echo b > /etc/made; cat /etc/made;"
    " test -x /usr/bin/env; test -d /usr/share; readlink /proc/self/ns/pid;"
    " test -c /dev/null; echo done"
)
# The program cannot be executed then, so that the ladder goes on below it.
WITHOUT_FUSE = ("-v", "/dev/null:/usr/bin/fuse-overlayfs")
PROGRAM = Path("/usr/bin/fuse-overlayfs")

needs_fuse = pytest.mark.skipif(
    not (PROGRAM.exists() and os.path.exists("/dev/fuse")),
    reason="there is no fuse-overlayfs or no /dev/fuse here",
)


def nested(nestbox, depth: int, *flags: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a run at this depth; each inner one has the default state directories."""
    launch = ("--privileged", "--rootfs", "host", *flags, "--")
    words = [*launch]
    for _ in range(depth - 1):
        words += [*nestbox.command, "run", *launch]
    return (*words, *command)


@pytest.mark.parametrize(
    "flags", [pytest.param((), marks=needs_fuse, id="fuse"), pytest.param(WITHOUT_FUSE, id="parts")]
)
def test_a_privileged_one_at_depth_five(nestbox, flags):
    if flags and not PROGRAM.exists():
        flags = ()
    done = nestbox.run(*nested(nestbox, DEPTH, *flags, command=("sh", "-c", WORK)))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[::3] == ["a", "done"] or done.stdout.split()[-1] == "done"
    assert not Path("/tmp/made").exists()
    assert not Path("/etc/made").exists()


def test_one_of_an_ordinary_user_at_depth_five(ordinary):
    words = nested(ordinary, DEPTH, command=("sh", "-c", WORK))
    done = ordinary.run(*words, before=another_user(USER))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[-1] == "done"
    assert not Path("/etc/made").exists()


def test_an_ordinary_user_has_the_present_root_though_its_mounts_are_locked(ordinary):
    script = "echo a > /usr/made; echo b > /etc/made; cat /usr/made /etc/made; cat /etc/passwd"
    done, record = ordinary.recorded(
        "--rootfs", "host", "--", "sh", "-c", script, before=another_user(USER)
    )
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["a", "b"]
    assert done.stdout.splitlines()[2:] == Path("/etc/passwd").read_text().splitlines()
    root = next(one for one in record["decisions"] if one["subject"] == "root")
    assert "locked" in root["cause"]
    assert not Path("/usr/made").exists()


def test_what_can_only_be_read_at_depth_is_told(nestbox):
    flags = WITHOUT_FUSE if PROGRAM.exists() else ()
    done = nestbox.run(*nested(nestbox, 3, *flags, command=("true",)))
    assert done.exit_code == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "root.writes" in line]
    assert len(told) == 1
    assert "MiB" in told[0]


def test_no_rung_is_taken_in_place_of_one_that_was_named(nestbox):
    flags = WITHOUT_FUSE if PROGRAM.exists() else ()
    inner = [*nestbox.command, "run", "--privileged", "--rootfs", "host:overlay", "--", "true"]
    done = nestbox.run(*nested(nestbox, 2, *flags, command=tuple(inner)))
    assert done.exit_code == 125
    assert "stacks no more than two" in done.stderr
    assert "host:copy" in done.stderr
