"""Commands that were given a view of the system in which they could not work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")

FOREIGN = ["unshare", "--pid", "--fork", "--kill-child"]
NOTE = "no /proc here shows this process: this command mounted one for itself"


def test_in_the_proc_of_another_pid_namespace_ids_are_mapped_to_the_right_process(nestbox, image):
    words = ("--userns", "auto", "--rootfs", str(image), "--", "probe", "ids")
    done = nestbox.run(*words, before=FOREIGN)
    assert done.exit_code == 0, done.stderr
    assert done.facts["uid"] == "0"
    assert NOTE in done.stderr


def test_nothing_is_written_to_a_process_of_another_pid_namespace(nestbox, image):
    """Where no proc can be mounted, a number in it is that of somebody else."""
    words = ("--userns", "auto", "--rootfs", str(image), "--", "true")
    done = nestbox.run(*words, before=[*FOREIGN, "setpriv", "--bounding-set=-sys_admin"])
    assert done.exit_code == 125
    assert "/proc is that of another pid namespace" in done.stderr


def test_a_proc_that_is_mounted_for_a_command_is_seen_by_it_alone(nestbox, image):
    before = Path("/proc/self/mountinfo").read_text()
    script = '"$@" && test "$(readlink /proc/self)" != $$ && test -e /proc/' + str(os.getpid())
    words = nestbox.arguments("--rootfs", str(image), "--", "true")
    done = nestbox.call([*FOREIGN, "sh", "-c", script, "sh", *words])
    assert done.exit_code == 0, done.stderr
    assert Path("/proc/self/mountinfo").read_text() == before


def test_where_proc_shows_the_command_nothing_is_mounted_and_nothing_said(nestbox, image):
    done = nestbox.run("--rootfs", str(image), "--", "true", before=[*FOREIGN, "--mount-proc"])
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
