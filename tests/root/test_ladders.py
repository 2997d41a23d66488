"""The rungs of /proc, /sys, devices and the way to the root, in environments made for each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.root.driver import expect_line

pytestmark = pytest.mark.usefixtures("nothing_left")

SECONDS = 20  # far more than any time limit of nestbox
HUNG = Path(__file__).with_name("hung.py")
AUTO = ("--userns", "auto")


def after(script: str) -> list[str]:
    """Return words before a command, which runs with mounts of its own that a script changes."""
    return ["unshare", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]


MASKED = after("mount -t tmpfs tmpfs /proc/fs; mount --bind /dev/null /proc/keys")


def words(image, *command, flags=()):
    return (*flags, "--rootfs", str(image), "--", *command)


def test_a_masked_proc_is_bound_in_the_outer_pid_namespace(nestbox, image):
    done = nestbox.run(
        *words(image, "sh", "-c", "echo $$; stat -c %t:%T /proc/keys", flags=AUTO), before=MASKED
    )
    assert done.exit_code == 0, done.stderr
    pid, keys = done.stdout.split()
    assert pid != "1"
    assert keys == "1:3"
    assert "/proc/keys" in done.stderr
    assert "pid-namespace" in done.stderr


def test_a_pid_namespace_by_name_is_refused_there(nestbox, image):
    done = nestbox.run(*words(image, "true", flags=(*AUTO, "--pid", "private")), before=MASKED)
    assert done.exit_code == 125
    assert "--pid private" in done.stderr
    assert "/proc/keys" in done.stderr
    done = nestbox.run(*words(image, "sh", "-c", "echo $$", flags=("--pid", "private")))
    assert done.stdout == "1\n"


def test_privileged_says_which_masks_of_others_stay(nestbox, image):
    done = nestbox.run(*words(image, "true", flags=("--privileged", *AUTO)), before=MASKED)
    assert done.exit_code == 0, done.stderr
    assert "outer-masks" in done.stderr


def test_an_unmask_by_name_is_refused_where_others_mask(nestbox, image):
    flags = (*AUTO, "--security-opt", "unmask=/proc/keys")
    done = nestbox.run(*words(image, "true", flags=flags), before=MASKED)
    assert done.exit_code == 125
    assert "unmask=/proc/keys" in done.stderr
    assert nestbox.run(*words(image, "true", flags=flags)).exit_code == 0


def test_the_outer_pid_namespace_is_shared_by_name(nestbox, image):
    for flags in (("--pid", "host"), ("--pid", "host", *AUTO)):
        done = nestbox.run(*words(image, "sh", "-c", "echo $$; ls -d /proc/$PPID", flags=flags))
        assert done.exit_code == 0, done.stderr
        assert done.stdout.split()[0] != "1"


def test_a_proc_that_hides_other_users_is_enough(nestbox, image):
    hidden = after("mount -t proc -o hidepid=2 proc /proc")
    done = nestbox.run(*words(image, "sh", "-c", "echo $$", flags=AUTO), before=hidden)
    assert (done.exit_code, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "mount -t proc -o subset=pid proc /proc",
        "mkfifo {place}/fifo; mount --bind {place}/fifo /proc/sys/kernel/cap_last_cap",
        "mount --bind /dev/zero /proc/sys/kernel/random/boot_id",
    ],
)
def test_a_proc_that_is_not_whole_is_an_error(nestbox, image, tmp_path, script):
    done = nestbox.run(*words(image, "true"), before=after(script.format(place=tmp_path)))
    assert done.exit_code == 125
    assert "cannot observe the outer environment" in done.stderr
    assert "mount -t proc proc /proc" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "umount --recursive --lazy /proc",
        "mount -t tmpfs tmpfs /proc",
        "mkdir {place}/thread-self; mkfifo {place}/thread-self/status; mount --bind {place} /proc",
    ],
)
def test_where_none_shows_us_root_mounts_one_for_itself(nestbox, image, tmp_path, script):
    before = after(script.format(place=tmp_path))
    done = nestbox.run(*words(image, "sh", "-c", "echo $$"), before=before)
    assert (done.exit_code, done.stdout) == (0, "1\n"), done.stderr
    assert "no /proc here shows this process" in done.stderr


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse here")
def test_a_server_that_hangs_over_proc_holds_no_command(nestbox, image):
    before = ["unshare", "--mount", sys.executable, str(HUNG), "/proc"]
    done = nestbox.run(*words(image, "sh", "-c", "echo $$"), before=before)
    assert (done.exit_code, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse here")
def test_a_server_that_hangs_over_proc_is_an_error_of_the_library_in_time():
    script = (
        "import nestbox.errors, nestbox.outer.sources as sources\n"
        "try: sources.require_proc()\n"
        "except nestbox.errors.EnvironmentUnreadable as error: print(error.cause)\n"
        "else: print('it answered')\n"
    )
    command = [
        "unshare",
        "--mount",
        sys.executable,
        str(HUNG),
        "/proc",
        sys.executable,
        "-c",
        script,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert "did not end within 2 seconds" in done.stdout, done


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse here")
def test_a_mount_elsewhere_whose_server_hangs_holds_nobody(nestbox, image, tmp_path):
    hung = tmp_path / "hung"
    hung.mkdir()
    before = ["unshare", "--mount", sys.executable, str(HUNG), str(hung)]
    done = nestbox.run(*words(image, "true", flags=AUTO), before=before)
    assert done.exit_code == 0, done.stderr


def test_without_a_sysfs_outside_a_user_namespace_has_an_empty_one(nestbox, image):
    gone = after("umount --recursive --lazy /sys")
    done = nestbox.run(*words(image, "sh", "-c", "ls /sys", flags=AUTO), before=gone)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() in ([], ["fs"])
    assert "mount /sys" in done.stderr


def test_a_default_node_that_is_not_there_is_left_out_and_told(nestbox, image):
    missing = after(
        "mount -t tmpfs tmpfs /dev; for n in 'null 1 3' 'zero 1 5' 'tty 5 0'; do "
        'set -- $n "$@"; mknod -m 666 /dev/$1 c $2 $3; shift 3; done; '
        "mkdir /dev/pts; mount -t devpts devpts /dev/pts"
    )
    done = nestbox.run(*words(image, "ls", "/dev", flags=AUTO), before=missing)
    assert done.exit_code == 0, done.stderr
    assert {"null", "zero"} <= {*done.stdout.split()}
    assert "full" not in done.stdout.split()
    assert "/dev/full is no device node outside" in done.stderr


def test_a_new_volume_is_on_a_disk_and_ends_with_the_container(nestbox, image):
    flags = ("-v", "/data", "-v", "/deep/er")
    script = "mkdir -p /data/a/b; echo x >/data/a/b/file; grep -c ' /data ' /proc/self/mounts"
    done = nestbox.run(*words(image, "sh", "-c", script, flags=flags))
    assert (done.exit_code, done.stdout) == (0, "1\n"), done.stderr


def test_a_volume_of_a_container_that_was_killed_is_swept(nestbox, image, orphans):
    script = "echo x >/data/file; echo up; sleep 1000"
    with nestbox.start(*words(image, "sh", "-c", script, flags=("-v", "/data"))) as process:
        expect_line(process, b"up")
        process.kill()
    orphans()
    assert list((nestbox.storage / "layers").iterdir())
    assert nestbox.run(*words(image, "true")).exit_code == 0
    assert not list((nestbox.storage / "layers").iterdir())


def test_cgroups_made_in_a_privileged_container_go_with_it(nestbox, image):
    script = (
        "for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do "
        "[ -f $d/cgroup.procs ] && mkdir -p $d/mine/below; done; ls -d /sys/fs/cgroup/mine "
        "/sys/fs/cgroup/*/mine 2>/dev/null | wc -l"
    )
    done = nestbox.run(*words(image, "sh", "-c", script, flags=("--privileged",)))
    assert done.exit_code == 0, done.stderr
    assert int(done.stdout) > 0


def without_pivot_root(path: Path) -> Path:
    """Write a filter of docker's form that stops one call."""
    rule = {"names": ["pivot_root"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    text = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    path.write_text(json.dumps(text))
    return path


@pytest.mark.parametrize("user", [(), AUTO])
def test_where_pivot_root_is_filtered_the_root_is_moved(nestbox, image, tmp_path, user):
    profile = without_pivot_root(tmp_path / "filter.json")
    state = ("-e", "NESTBOX_ROOT=/run/inner", "-e", "NESTBOX_STORAGE=/var/lib/inner")
    outer = ("--cap-add", "SYS_ADMIN", "--security-opt", f"seccomp={profile}", *state)
    inner = (*nestbox.command, "run", *user, "--rootfs", str(image), "--", "sh", "-c")
    script = (
        "ls -di / | tail -1; cd /; for _ in 1 2 3 4 5 6; do cd ..; done; ls -di . | tail -1; "
        "ls /; umount / 2>/dev/null; ls /etc/passwd"
    )
    done = nestbox.run(*outer, "--rootfs", "host", "--", *inner, script)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == lines[1].split()[0]
    assert "usr" not in lines
    assert lines[-1] == "/etc/passwd"


def test_below_a_moved_root_no_whole_proc_is_left(nestbox, tmp_path):
    """With one anywhere in its mounts, a user namespace in it would get a proc without masks."""
    profile = without_pivot_root(tmp_path / "filter.json")
    state = ("-e", "NESTBOX_ROOT=/run/inner", "-e", "NESTBOX_STORAGE=/var/lib/inner")
    outer = ("--cap-add", "SYS_ADMIN", "--security-opt", f"seccomp={profile}", *state)
    inner = (*nestbox.command, "run", "--security-opt", "seccomp=unconfined", "--")
    script = "mount -t proc proc /mnt && echo whole || echo refused"
    words = (
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount",
        "sh",
        "-c",
        script,
    )
    done = nestbox.run(*outer, "--security-opt", "unmask=ALL", "--", *inner, *words)
    assert (done.exit_code, done.stdout) == (0, "refused\n"), done.stderr
    # The test itself: with nothing masked there is one to be had.
    whole = (*inner[:-1], "--security-opt", "unmask=ALL", "--")
    done = nestbox.run(*outer, "--security-opt", "unmask=ALL", "--", *whole, *words)
    assert (done.exit_code, done.stdout) == (0, "whole\n"), done.stderr


def test_a_privileged_one_is_told_that_its_root_can_be_undone(nestbox, image, tmp_path):
    profile = without_pivot_root(tmp_path / "filter.json")
    state = ("-e", "NESTBOX_ROOT=/run/inner", "-e", "NESTBOX_STORAGE=/var/lib/inner")
    outer = ("--cap-add", "SYS_ADMIN", "--security-opt", f"seccomp={profile}", *state)
    inner = (*nestbox.command, "run", "--privileged", "--rootfs", str(image), "--", "true")
    done = nestbox.run(*outer, "--rootfs", "host", "--", *inner)
    assert done.exit_code == 0, done.stderr
    assert "root.entry" in done.stderr
