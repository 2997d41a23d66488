"""The kernel's file systems mounted by way of trial, and files looked at without their servers."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from nestbox.kernel import reading, syscalls, trials
from nestbox.kernel.namespaces import FLAG
from nestbox.kernel.proc_marks import has_marks_of_proc

# Prints what a trial answers; a script changes the mounts before.
TRY = (
    "import sys; from nestbox.kernel import trials; from nestbox.kernel.namespaces import FLAG; "
    "print(trials.try_fresh(sys.argv[1], FLAG[sys.argv[2]], readonly=sys.argv[3] == 'ro', "
    "in_user_namespace=True))"
)
NAMESPACES = {"proc": "pid", "sysfs": "net", "mqueue": "ipc"}


def tried(script: str, fstype: str, access: str = "rw") -> str:
    """Return what the trial in a new user namespace printed."""
    words = [sys.executable, "-c", TRY, fstype, NAMESPACES[fstype], access]
    before = ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    done = subprocess.run([*before, *words], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.mark.root
@pytest.mark.parametrize("fstype", NAMESPACES)
@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_what_is_whole_outside_can_be_mounted(fstype, in_user_namespace):
    flags = FLAG[NAMESPACES[fstype]]
    error = trials.try_fresh(fstype, flags, readonly=False, in_user_namespace=in_user_namespace)
    assert error is None


@pytest.mark.root
def test_what_is_covered_outside_cannot_be_had_in_a_user_namespace():
    assert tried("mount -t tmpfs tmpfs /proc/fs", "proc") == "EPERM"
    assert tried("mount -t tmpfs tmpfs /sys/kernel", "sysfs") == "EPERM"
    assert tried("mount -t tmpfs tmpfs /proc/fs", "sysfs") == "None"


@pytest.mark.root
def test_what_is_read_only_outside_is_to_be_had_like_that():
    script = "mount -o remount,bind,ro /sys"
    assert tried(script, "sysfs") == "EPERM"
    assert tried(script, "sysfs", "ro") == "None"


def test_a_file_system_that_there_is_none_of_is_told_so():
    error = trials.try_fresh("nothing", 0, readonly=False, in_user_namespace=False)
    assert error in {"ENODEV", "EPERM"}  # whoever may not mount learns no more


def test_a_file_is_read_by_way_of_trial(tmp_path):
    assert trials.try_read("/proc/self/status") is None
    assert trials.try_read(str(tmp_path / "gone")) == "ENOENT"
    os.mkfifo(tmp_path / "fifo")
    assert trials.try_read(str(tmp_path / "fifo")) is None  # nobody writes, so it is empty


def test_a_fifo_in_the_place_of_a_file_of_the_kernel_holds_nobody(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert reading.read_file(str(tmp_path / "fifo")) == b""
    with pytest.raises(reading.NotProcfs):
        reading.read_proc(str(tmp_path / "fifo"))


def test_a_file_is_known_without_asking_for_it(tmp_path):
    (tmp_path / "link").symlink_to("/proc")
    assert stat.S_ISLNK(syscalls.stat_cached(str(tmp_path / "link")).mode)
    facts = syscalls.stat_cached(str(tmp_path))
    assert (facts.inode, facts.mode) == (tmp_path.stat().st_ino, tmp_path.stat().st_mode)
    with pytest.raises(FileNotFoundError):
        syscalls.stat_cached(str(tmp_path / "gone"))


def test_proc_has_marks_that_nothing_common_has(tmp_path):
    assert has_marks_of_proc("/proc")
    for path in ("/", "/sys", "/dev", str(tmp_path), "/proc/self"):
        assert not has_marks_of_proc(path)
    with pytest.raises(FileNotFoundError):
        has_marks_of_proc(str(tmp_path / "gone"))
