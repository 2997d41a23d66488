"""Mounts, devices and the change of the root, as they are from inside."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from nestbox.executor.encode import SYNC
from nestbox.kernel.constants import AT_EMPTY_PATH, MOUNT_ATTR_RDONLY
from nestbox.kernel.syscalls import mount_setattr
from nestbox.plan import steps as s
from nestbox.policy.launch_spec import DeviceSpec, IdMapping, LaunchSpec, MountSpec, RootSpec
from tests.executor.boxes import DEV, PROC, box, make_root, plan_of, run
from tests.executor.talk import go, hear, talking, text_of

pytestmark = pytest.mark.root

SYSTEM = msgspec.structs.replace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


def failure(launch: LaunchSpec) -> tuple[s.Step, int, str]:
    """Return the step that fails, its errno, and what the file system said."""
    plan = plan_of(launch)
    with talking(plan) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        return plan.steps[failed.step], failed.errno, failed.message


def options_of(target: str) -> str:
    """Return a script that prints the options and propagation of a mount."""
    return (
        f"while read -r a b c d e f g; do test $e = {target} && echo $f ${{g%%-*}};"
        " done </proc/self/mountinfo; true"
    )


def bind(source: Path, target: str, **changes: object) -> MountSpec:
    return MountSpec(fstype="bind", source=str(source), target=target, **changes)


def test_an_rbind_can_be_read_only_at_its_top_alone_or_with_all_below(root, tmp_path):
    volume = tmp_path / "volume"
    (volume / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume / "below"], check=True)
    common = {"recursive": True, "recursive_attributes": False}
    script = (
        "touch /top/x || echo top; touch /top/below/x && echo below; touch /all/below/x || echo all"
    )
    launch = box(
        root,
        f"({script}) 2>/dev/null",
        mounts=(
            PROC,
            bind(volume, "/top", attributes=("ro",), **common),
            bind(volume, "/all", attributes_below=("ro",), **common),
        ),
    )
    try:
        assert run(launch) == (0, "top\nbelow\nall\n")
    finally:
        subprocess.run(["umount", volume / "below"], check=True)


def test_a_file_is_bound_over_a_file_that_is_made(root, tmp_path):
    (tmp_path / "file").write_text("content")
    launch = box(
        root, "cat /etc/deep/name", mounts=(PROC, bind(tmp_path / "file", "/etc/deep/name"))
    )
    assert run(launch) == (0, "content")


def test_a_mount_is_changed_where_it_lies(root):
    tmpfs = MountSpec(fstype="tmpfs", source="tmpfs", target="/tmp", options=(("size", "64k"),))
    again = MountSpec(
        fstype="remount",
        source="",
        target="/tmp",
        attributes=("ro", "noexec"),
        options=(("size", "128k"),),
        propagation="",
    )
    script = (
        options_of("/tmp")
        + "; mount | while read l; do case $l in *' /tmp '*) echo $l;; esac; done"
    )
    code, text = run(box(root, script, mounts=(PROC, tmpfs, again)))
    assert code == 0
    assert "ro,noexec" in text
    assert "size=128k" in text


def test_a_final_mount_closes_what_was_open_for_targets(root):
    outer = MountSpec(fstype="tmpfs", source="tmpfs", target="/tmp")
    inner = MountSpec(fstype="tmpfs", source="tmpfs", target="/tmp/inner")
    close = MountSpec(
        fstype="remount", source="", target="/tmp", attributes=("ro",), propagation=""
    )
    launch = box(
        root,
        "mkdir /tmp/inner/x && (mkdir /tmp/x 2>/dev/null || echo closed)",
        mounts=(PROC, outer, inner),
        final_mounts=(close,),
    )
    assert run(launch) == (0, "closed\n")


def test_a_read_only_dev_has_its_devices(root):
    launch = box(
        root,
        "ls /dev; touch /dev/x 2>/dev/null || echo closed; echo >/dev/null",
        mounts=(PROC, SYSTEM(DEV, attributes=("ro",))),
        devices=(DeviceSpec(target="/dev/null", source=None, kind="c", major=1, minor=3),),
    )
    assert run(launch) == (0, "null\nclosed\n")


def test_the_kernel_says_which_option_it_refuses(root):
    bad = MountSpec(fstype="tmpfs", source="tmpfs", target="/tmp", options=(("bogus", "1"),))
    step, number, message = failure(box(root, "", mounts=(PROC, bad)))
    assert isinstance(step, s.NewFs)
    assert number == errno.EINVAL
    assert "bogus" in message


@pytest.mark.parametrize(
    ("propagation", "words"), [("shared", "shared:"), ("slave", ""), ("unbindable", "unbindable")]
)
def test_a_new_file_system_has_the_propagation_that_was_asked_for(root, propagation, words):
    mount = MountSpec(fstype="tmpfs", source="tmpfs", target="/tmp", propagation=propagation)
    code, text = run(box(root, options_of("/tmp"), mounts=(PROC, mount)))
    assert code == 0
    assert words in text


@pytest.mark.parametrize("propagation", ["shared", "rshared", "slave", "private", "unbindable"])
def test_the_propagation_of_the_root_is_set_when_it_is_entered(root, propagation):
    launch = box(
        root,
        options_of("/"),
        root=RootSpec(directory=str(root), nodev=False, propagation=propagation),
    )
    code, text = run(launch)
    assert code == 0
    assert ("shared:" in text) == ("shared" in propagation)
    assert ("unbindable" in text) == (propagation == "unbindable")


def test_a_copied_up_tmpfs_has_what_it_covers(root):
    place = root / "data"
    (place / "deep/er").mkdir(parents=True)
    (place / "deep/er/file").write_text("content")
    (place / "deep").chmod(0o2711)
    os.chown(place / "deep/er/file", 12, 34)
    os.chmod(place / "deep/er/file", 0o4751)
    (place / "link").symlink_to("deep/nowhere")
    os.mkfifo(place / "fifo")
    os.mknod(place / "node", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.setxattr(place / "deep/er/file", "trusted.note", b"kept")
    tmpfs = MountSpec(
        fstype="tmpfs", source="tmpfs", target="/data", copy_up=True, inherit_mode=True
    )
    script = (
        "cat /data/deep/er/file; echo; stat -c '%a %u:%g %F' /data/deep /data/deep/er/file"
        " /data/fifo /data/node; readlink /data/link; touch /data/new"
    )
    code, text = run(box(root, script, mounts=(PROC, tmpfs)))
    assert code == 0
    assert text.splitlines() == [
        "content",
        "2711 0:0 directory",
        "4751 12:34 regular file",
        "644 0:0 fifo",
        "640 0:0 character special file",
        "deep/nowhere",
    ]
    assert not (place / "new").exists()


def test_copying_up_leaves_other_mounts_and_links_alone(root, tmp_path):
    (root / "data/sub").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    (root / "data/out").symlink_to(tmp_path / "outside")
    other = MountSpec(fstype="tmpfs", source="tmpfs", target="/data/sub")
    file = bind(tmp_path / "outside", "/data/sub/inner")
    tmpfs = MountSpec(fstype="tmpfs", source="tmpfs", target="/data", copy_up=True)
    code, text = run(box(root, "ls /data; cat /data/out", mounts=(PROC, other, file, tmpfs)))
    assert code == 1
    assert text.split("cat:")[0] == "out\n"


def test_a_tree_that_is_too_deep_is_not_copied(root):
    (root / "data" / "/".join("d" * 70)).mkdir(parents=True)
    tmpfs = MountSpec(fstype="tmpfs", source="tmpfs", target="/data", copy_up=True)
    step, number, _ = failure(box(root, "", mounts=(PROC, tmpfs)))
    assert (type(step), number) == (s.CopyUp, errno.ELOOP)


def test_a_tmpfs_takes_the_mode_of_the_directory_that_it_covers(root):
    (root / "data").mkdir(mode=0o1711)
    (root / "data").chmod(0o1711)
    tmpfs = MountSpec(
        fstype="tmpfs", source="tmpfs", target="/data", inherit_mode=True, attributes=("ro",)
    )
    script = "stat -c %a /data; touch /data/x 2>/dev/null || echo closed; cat /proc/mounts"
    code, text = run(box(root, script, mounts=(PROC, tmpfs)))
    assert code == 0
    assert text.startswith("1711\nclosed\n")
    # As an option, so that whoever mounts it again knows it.
    assert "mode=1711" in text


def test_a_link_is_made_in_a_mount_and_one_that_is_there_stays(root):
    (root / "tmp/there").symlink_to("first")
    links = tuple(
        MountSpec(fstype="link", source=value, target=target)
        for target, value in (("/dev/cpu", "cpu,acct"), ("/tmp/there", "second"))
    )
    launch = box(root, "readlink /dev/cpu; readlink /tmp/there", mounts=(PROC, DEV, *links))
    assert run(launch) == (0, "cpu,acct\nfirst\n")


def test_devices_are_made_where_they_are_asked_for(root):
    devices = (
        DeviceSpec(target="/dev/net/tun", source=None, kind="c", major=10, minor=200, mode=0o600),
        DeviceSpec(target="/other/place", source=None, kind="b", major=7, minor=0, uid=3, gid=4),
        DeviceSpec(target="/dev/queue", source=None, kind="p", major=0, minor=0, mode=0o622),
    )
    script = "stat -c '%n %a %u:%g %F %t:%T' /dev/net/tun /other/place /dev/queue"
    code, text = run(box(root, script, devices=devices))
    assert code == 0
    assert text.splitlines() == [
        "/dev/net/tun 600 0:0 character special file a:c8",
        "/other/place 666 3:4 block special file 7:0",
        "/dev/queue 622 0:0 fifo 0:0",
    ]


def test_devices_are_made_in_the_dev_of_the_root_itself(root):
    devices = (DeviceSpec(target="/dev/zero", source=None, kind="c", major=1, minor=5),)
    launch = box(
        root,
        "ls /dev",
        mounts=(PROC,),
        devices=devices,
        device_links=(("/dev/fd", "/proc/self/fd"),),
    )
    assert run(launch) == (0, "fd\nzero\n")
    # They are there once more at the next start.
    assert run(launch) == (0, "fd\nzero\n")
    (root / "dev/zero").unlink()
    (root / "dev/zero").touch()
    step, number, _ = failure(launch)
    assert (type(step), number) == (s.MakeDevice, errno.EEXIST)


def test_a_dev_that_is_a_link_gets_no_devices(root, tmp_path):
    """CVE-2026-41579"""
    (root / "dev").rmdir()
    (root / "dev").symlink_to("/tmp")
    devices = (DeviceSpec(target="/dev/zero", source=None, kind="c", major=1, minor=5),)
    step, number, _ = failure(box(root, "", mounts=(PROC,), devices=devices))
    assert (type(step), number) == (s.MakeDevice, errno.ELOOP)
    bound = (msgspec.structs.replace(devices[0], source="/dev/zero"),)
    step, number, _ = failure(box(root, "", mounts=(PROC,), devices=bound))
    assert (type(step), number) == (s.Attach, errno.ELOOP)
    assert list((root / "tmp").iterdir()) == []


def test_what_the_runtime_found_is_bound(root, tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").write_text("content")
    mount = bind(tmp_path / "volume", "/data", handed_over=True, attributes=("ro",))
    launch = box(
        root, "cat /data/file; touch /data/x 2>/dev/null || echo closed", mounts=(PROC, mount)
    )
    asked = []

    def answer(step: s.Step, pid: int) -> tuple[bytes, int | None]:
        if not isinstance(step, s.Receive):
            return b"", None
        asked.append(step.what)
        return b"", os.open(f"/proc/{pid}/root{tmp_path}/volume", os.O_PATH)

    assert run(launch, answer) == (0, "contentclosed\n")
    assert asked == ["mount /data"]


def test_what_is_mounted_in_the_root_is_lent_before_anyone_sees_it(root):
    """Its ids are mapped by the runtime, which sees none of the container's mounts by name."""
    (root / "data").mkdir()
    inner = MountSpec(fstype="tmpfs", source="tmpfs", target="/tmp/inner")
    again = bind(Path("/tmp/inner"), "/data", from_root=True, id_mapping=IdMapping())
    launch = box(root, "touch /data/x 2>/dev/null || echo closed", mounts=(PROC, inner, again))
    lent = []
    plan = plan_of(launch)
    with talking(plan) as (talk, output):
        while (heard := hear(talk.control)) is not None:
            talk.heard.append(heard)
            if heard.report.kind != SYNC:
                continue
            step = plan.steps[heard.report.step]
            assert isinstance(step, s.Lend)
            assert heard.fd is not None
            lent.append(step.what)
            mount_setattr(heard.fd, "", AT_EMPTY_PATH, set_=MOUNT_ATTR_RDONLY)
            go(talk.control)
        assert talk.failure() is None, talk.failure()
        assert talk.wait() == 0
        assert text_of(output) == "closed\n"
    assert lent == ["mount /data"]


def test_an_answer_without_its_descriptor_or_with_one_too_many_is_an_error(root, tmp_path):
    handed = box(root, "", mounts=(PROC, bind(tmp_path, "/data", handed_over=True)))
    hooked = box(root, "", runtime_hooks=True)
    null = os.open("/dev/null", os.O_RDONLY)
    for launch, fd, kind in ((handed, None, s.Receive), (hooked, null, s.Sync)):
        plan = plan_of(launch)
        with talking(plan) as (talk, _):
            talk.go_on(lambda step, pid, fd=fd: (b"", fd))
            failed = talk.failure()
            assert failed is not None
            assert (type(plan.steps[failed.step]), failed.errno) == (kind, errno.EBADMSG)
    os.close(null)


def test_sysctls_go_past_what_the_image_has_at_proc(root):
    launch = box(
        root,
        "cat /proc/sys/kernel/domainname /proc/self/oom_score_adj",
        sysctls=(("kernel/domainname", "example"),),
        own_proc=True,
    )
    launch = msgspec.structs.replace(
        launch, process=msgspec.structs.replace(launch.process, oom_score_adj=321)
    )
    assert run(launch) == (0, "example\n321\n")


def test_names_are_those_that_were_asked_for(root):
    launch = box(
        root, "hostname; cat /proc/sys/kernel/domainname", hostname="one", domainname="two"
    )
    assert run(launch) == (0, "one\ntwo\n")


@pytest.mark.parametrize("hooks", [False, True])
def test_a_root_that_is_moved_leaves_nothing_of_the_outer_proc(root, hooks):
    outer = [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[3] == "/" and line.split(" - ")[1].split()[0] in {"proc", "sysfs"}
    ]
    launch = box(
        root,
        "ls / | while read n; do echo $n; done; cat /proc/self/mountinfo",
        root=RootSpec(directory=str(root), nodev=False, entry="move", uncovered=tuple(outer)),
        runtime_hooks=hooks,
    )
    code, text = run(launch)
    assert code == 0
    assert text.split("\n")[0] == "bin"
    assert sum(" - proc " in line for line in text.splitlines()) == 1
    assert not any(" - sysfs " in line for line in text.splitlines())


def test_a_shared_tree_gets_what_is_mounted_in_a_shared_volume_and_nothing_else(root, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    inside = f'mount --bind {volume} {volume} && exec "$@"'
    command = [sys.executable, "-m", "tests.executor.shared_tree", str(root), str(volume)]
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "shared", "sh", "-c", inside, "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == f"0 ['{volume}/new'] []\n", done.stderr


def test_options_that_are_too_long_for_the_new_call_go_through_the_old_one(root, tmp_path):
    lowers = []
    for number in range(3):
        lower = tmp_path / ("x" * 100 + str(number))
        lower.mkdir()
        (lower / f"file{number}").touch()
        lowers.append(str(lower))
    overlay = MountSpec(
        fstype="overlay",
        source="overlay",
        target="/data",
        options=(("lowerdir", ":".join(lowers)), ("ro", "")),
        attributes=("nosuid",),
    )
    launch = box(root, "ls /data; " + options_of("/data"), mounts=(PROC, overlay))
    assert any(isinstance(step, s.OldFs) for step in plan_of(launch).steps)
    code, text = run(launch)
    assert code == 0
    assert text.splitlines()[:3] == ["file0", "file1", "file2"]
    assert "nosuid" in text
