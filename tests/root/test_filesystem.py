"""Roots, volumes, tmpfs and devices: what is written where, and what of the outside is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("nothing_left")

EROFS = "30"
EPERM = "1"


@pytest.fixture
def launch(nestbox, root):
    """Return a function that runs a shell script in a root of this test's own."""

    def run(script, *flags, rootfs=str(root)):
        return nestbox.run(*flags, "--rootfs", rootfs, "--", "sh", "-c", script)

    return run


class TestDirectoryRoot:
    def test_writes_reach_the_directory(self, launch, root):
        assert launch("echo x > /made").exit_code == 0
        assert (root / "made").read_text() == "x\n"

    def test_an_overlay_keeps_the_directory_as_it_is(self, launch, root):
        script = "echo x > /made && rm /etc/group && cat /made"
        done = launch(script, rootfs=f"{root}:overlay")
        assert (done.exit_code, done.stdout) == (0, "x\n")
        assert not (root / "made").exists()
        assert (root / "etc/group").exists()

    def test_read_only_refuses_writes(self, launch, root):
        done = launch("mkdir /made", rootfs=f"{root}:ro")
        assert done.exit_code == 1
        assert "Read-only" in done.stderr
        assert not (root / "made").exists()

    def test_the_flag_read_only_does_the_same(self, launch, root):
        assert launch("mkdir /made", "--read-only").exit_code == 1
        assert not (root / "made").exists()

    def test_read_only_leaves_tmpfs_and_volumes_writable(self, launch, tmp_path):
        (tmp_path / "data").mkdir()
        flags = ("--read-only", "--tmpfs", "/mnt", "-v", f"{tmp_path}/data:/var")
        done = launch("echo x > /mnt/x && echo y > /var/y && cat /mnt/x", *flags)
        assert done.stdout == "x\n", done.stderr
        assert (tmp_path / "data/y").read_text() == "y\n"

    def test_the_old_root_is_not_to_be_seen(self, launch):
        done = launch("cat /proc/self/mountinfo")
        targets = [line.split()[4] for line in done.stdout.splitlines()]
        assert targets.count("/") == 1
        known = ("/proc", "/dev", "/sys", "/etc/")
        assert all(target == "/" or target.startswith(known) for target in targets)

    @pytest.mark.parametrize("how", [":ro", " --read-only"])
    def test_what_is_mounted_below_a_read_only_root_is_read_only_too(self, nestbox, root, how):
        """In a mount namespace of the test's own, with a tmpfs below the root."""
        mode, _, flag = how.partition(" ")
        script = "echo x > /mnt/x; echo $?"
        words = nestbox.arguments(
            *flag.split(), "--rootfs", f"{root}{mode}", "--", "sh", "-c", script
        )
        outer = f'mkdir -p {root}/mnt && mount -t tmpfs none {root}/mnt && exec "$@"'
        done = nestbox.call(["unshare", "-m", "sh", "-c", outer, "sh", *words])
        assert done.stdout == "1\n", done
        assert "Read-only" in done.stderr

    def test_a_link_to_nowhere_is_followed_inside_the_root(self, launch, root):
        """As /etc/resolv.conf often is: what it names is made, and shows the outer file."""
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/resolv.conf").symlink_to("../run/resolve/stub.conf")
        done = launch("cat /run/resolve/stub.conf", "--network", "host")
        assert (done.exit_code, done.stdout) == (0, Path("/etc/resolv.conf").read_text()), done

    def test_a_dev_from_outside_is_left_as_it_is(self, launch, tmp_path):
        (tmp_path / "dev").mkdir()
        (tmp_path / "dev/own").touch()
        done = launch("ls /dev", "-v", f"{tmp_path}/dev:/dev")
        assert "own" in done.stdout.split(), done
        assert not (tmp_path / "dev/fd").is_symlink()
        assert not (tmp_path / "dev/null").exists()

    def test_mounts_of_the_container_stay_in_it(self, launch):
        done = launch("mount -t tmpfs none /mnt && echo x > /mnt/x && cat /mnt/x", "--privileged")
        assert done.stdout == "x\n", done.stderr


class TestHostRoot:
    def test_it_shows_the_present_root_and_leaves_it_unchanged(self, nestbox):
        name = f"/nestbox-test-{os.urandom(4).hex()}"
        done = nestbox.run("--rootfs", "host", "--", "sh", "-c", f"echo x > {name} && cat {name}")
        assert (done.exit_code, done.stdout) == (0, "x\n")
        assert not Path(name).exists()

    def test_files_removed_inside_are_there_outside(self, nestbox, tmp_path):
        (tmp_path / "kept").write_text("kept")
        done = nestbox.run("--rootfs", "host", "--", "rm", str(tmp_path / "kept"))
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / "kept").read_text() == "kept"

    def test_other_mounts_are_shown_and_protected_too(self, nestbox, tmp_path):
        """In a mount namespace of the test's own, with a tmpfs that has a file."""
        place = tmp_path / "other"
        place.mkdir()
        command = f"cat {place}/old && echo new > {place}/new && rm {place}/old && ls {place}"
        words = nestbox.arguments("--rootfs", "host", "--", "sh", "-c", command)
        script = (
            f"mount -t tmpfs none {place} && echo old > {place}/old && "
            f'"$@"; echo "exit $?"; ls {place}'
        )
        done = nestbox.call(["unshare", "-m", "sh", "-c", script, "sh", *words])
        assert done.stdout.split() == ["old", "new", "exit", "0", "old"], done.stderr

    def test_a_job_runs_in_the_callers_directory(self, nestbox, tmp_path):
        done = nestbox.run("--rootfs", "host", "--", "pwd", cwd=tmp_path)
        assert done.stdout.strip() == str(tmp_path)

    def test_the_default_root_is_the_hosts(self, nestbox):
        done = nestbox.run("--", "cat", "/etc/os-release")
        assert done.stdout == Path("/etc/os-release").read_text()

    def test_state_and_storage_of_nestbox_can_be_below_it(self, nestbox):
        done = nestbox.run("--rootfs", "host", "--", "ls", str(nestbox.directory))
        assert done.exit_code == 0


class TestVolumes:
    def test_a_directory_is_shared(self, launch, tmp_path):
        source = tmp_path / "data"
        source.mkdir()
        (source / "in").write_text("in\n")
        done = launch("cat /data/in; echo out > /data/out", "-v", f"{source}:/data")
        assert done.stdout == "in\n"
        assert (source / "out").read_text() == "out\n"

    def test_read_only_is(self, launch, tmp_path):
        source = tmp_path / "data"
        source.mkdir()
        done = launch("probe mkdir /data/x", "-v", f"{source}:/data:ro")
        assert done.facts["mkdir"] == EROFS

    def test_a_file_is_shared(self, launch, tmp_path):
        source = tmp_path / "file"
        source.write_text("content\n")
        done = launch(
            "cat /etc/new/file; cat /etc/passwd",
            "-v",
            f"{source}:/etc/new/file",
            "-v",
            f"{source}:/etc/passwd:ro",
        )
        assert done.stdout == "content\ncontent\n"

    def test_a_missing_source_is_made_by_v(self, launch, tmp_path):
        done = launch("echo x > /data/x", "-v", f"{tmp_path}/made/deep:/data")
        assert done.exit_code == 0, done.stderr
        assert (tmp_path / "made/deep/x").exists()

    def test_a_missing_source_is_refused_by_mount(self, launch, tmp_path):
        flags = ("--mount", f"type=bind,source={tmp_path}/missing,target=/data")
        done = launch("true", *flags)
        assert done.exit_code == 125
        assert "missing" in done.stderr
        assert not (tmp_path / "missing").exists()

    @pytest.mark.parametrize("target", ["/proc", "/proc/self", "/proc/sys/kernel", "/"])
    def test_nothing_is_mounted_over_proc_or_the_root(self, launch, tmp_path, target):
        done = launch("true", "-v", f"{tmp_path}:{target}")
        assert done.exit_code == 125
        assert target in done.stderr

    def test_a_link_in_the_root_that_leads_to_proc_is_refused(self, launch, root, tmp_path):
        (root / "link").symlink_to("/proc")
        done = launch("true", "-v", f"{tmp_path}:/link/self")
        assert done.exit_code == 125
        assert "/proc" in done.stderr

    def test_a_device_in_a_volume_cannot_be_opened(self, launch, tmp_path):
        source = tmp_path / "data"
        source.mkdir()
        os.mknod(source / "null", 0o20666, os.makedev(1, 3))
        assert launch("probe open /data/null r", "-v", f"{source}:/data").facts["open"] == "13"

    @pytest.mark.parametrize(
        "volume",
        ["", ":", "/tmp:", ":/x", "/tmp:relative", "/tmp:/x:nosuch", "/tmp:/x:ro:rw"],
    )
    def test_a_malformed_volume_is_refused(self, launch, volume):
        done = launch("true", "-v", volume)
        assert done.exit_code == 125
        assert "because:" in done.stderr

    def test_the_same_target_twice_is_refused(self, launch, tmp_path):
        done = launch("true", "-v", f"{tmp_path}:/x", "-v", f"{tmp_path}:/x/")
        assert done.exit_code == 125
        assert "same target" in done.stderr


class TestTmpfs:
    def test_it_is_empty_writable_and_gone_afterwards(self, launch, root):
        done = launch("ls /mnt; echo x > /mnt/x && cat /mnt/x", "--tmpfs", "/mnt")
        assert done.stdout == "x\n"
        assert not (root / "mnt/x").exists()

    def test_its_size_is_limited(self, launch):
        done = launch("df -k /mnt", "--tmpfs", "/mnt:size=1m")
        assert done.stdout.splitlines()[-1].split()[1] == "1024"

    def test_it_is_noexec_unless_asked(self, launch):
        script = "cp /bin/busybox /mnt/true && /mnt/true"
        assert launch(script, "--tmpfs", "/mnt").exit_code == 126
        assert launch(script, "--tmpfs", "/mnt:exec").exit_code == 0


class TestDevices:
    @pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom", "tty"])
    def test_a_default_device_is_there(self, launch, name):
        done = launch(f"stat -c %F /dev/{name}")
        assert done.stdout.strip() == "character special file"

    def test_null_can_be_written_and_zero_be_read(self, launch):
        done = launch("echo x > /dev/null && dd if=/dev/zero bs=4 count=1 2>/dev/null | wc -c")
        assert done.stdout.strip() == "4"

    def test_no_other_device_is_there(self, launch):
        done = launch("ls /dev")
        allowed = "console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty "
        assert set(done.stdout.split()) <= set((allowed + "urandom zero").split())

    def test_a_disk_cannot_be_opened_by_a_node_of_ones_own_making(self, launch):
        """The first of the outer disks, as a node that root in the container makes."""
        number = os.stat("/").st_dev
        node = f"{os.major(number)} {os.minor(number)}"
        for place in ("/dev/disk", "/disk", "/tmp/disk", "/dev/shm/disk"):
            facts = launch(f"probe mknod {place} {node} + open {place} r").facts
            assert facts["mknod"] in {"0", EPERM, "17"}
            assert facts["open"] in {"1", "2", "6", "13"}

    def test_a_named_device_is_given(self, launch):
        done = launch("probe open /dev/my r", "--device", "/dev/zero:/dev/my")
        assert done.facts["open"] == "0"

    def test_a_missing_device_is_refused(self, launch):
        done = launch("true", "--device", "/dev/nosuchdevice")
        assert done.exit_code == 125
        assert "/dev/nosuchdevice" in done.stderr

    def test_a_file_is_no_device(self, launch, tmp_path):
        (tmp_path / "file").write_text("")
        done = launch("true", "--device", f"{tmp_path}/file:/dev/x")
        assert done.exit_code == 125
        assert "device" in done.stderr

    def test_owner_and_mode_of_an_outer_device_cannot_be_changed(self, launch):
        before = os.stat("/dev/null")
        done = launch("chmod 600 /dev/null || chown 1000 /dev/null; touch /dev/null")
        after = os.stat("/dev/null")
        assert done.exit_code != 0 or after.st_mode == before.st_mode
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)


class TestWorkingDirectory:
    def test_it_is_entered(self, launch):
        assert launch("pwd", "-w", "/etc").stdout.strip() == "/etc"

    def test_a_missing_one_is_made(self, launch, root):
        assert launch("pwd", "-w", "/a/b/c").stdout.strip() == "/a/b/c"
        assert (root / "a/b/c").is_dir()

    @pytest.mark.parametrize("path", ["relative", "../x", ""])
    def test_a_relative_one_is_refused(self, launch, path):
        done = launch("pwd", "-w", path)
        assert done.exit_code == 125
        assert "because:" in done.stderr

    def test_dots_cannot_lead_out_of_the_root(self, launch):
        done = launch("pwd; ls", "-w", "/../../../etc")
        assert done.exit_code in {0, 125}
        if done.exit_code == 0:
            assert done.stdout.split()[0] == "/etc"

    def test_a_link_cannot_lead_out_of_the_root(self, launch, root):
        (root / "out").symlink_to("/proc/self/fd")
        (root / "up").symlink_to("../../../../../..")
        assert "old_root" not in launch("ls", "-w", "/up").stdout
        assert launch("pwd", "-w", "/out/7").exit_code == 125

    def test_a_file_is_refused(self, launch):
        done = launch("pwd", "-w", "/etc/passwd")
        assert done.exit_code == 125
        assert "/etc/passwd" in done.stderr


@pytest.fixture
def hostile(root, tmp_path):
    """Return a root in which every target of a mount leads outside, and the outside place."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("proc", "sys", "dev", "tmp", "mnt", "etc"):
        path = root / name
        subprocess.run(["rm", "-rf", path], check=True)
        path.symlink_to("../" * 20 + str(outside).lstrip("/"))
    return root, outside


def test_hostile_links_reach_nothing_outside(nestbox, hostile, tmp_path):
    root, outside = hostile
    flags = ("-v", f"{tmp_path}:/mnt/volume", "--tmpfs", "/tmp/t", "-w", "/etc/work")
    done = nestbox.run(*flags, "--rootfs", str(root), "--", "/bin/true")
    assert done.exit_code in {0, 125}
    if done.exit_code == 125:
        assert "because:" in done.stderr
        assert "link" in done.stderr
    assert list(outside.iterdir()) == []
