"""``--rootfs …:overlay|:fuse|:copy``: what is written is thrown away, however the root is made."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.root.driver import end, expect_line
from tests.users import another_user

pytestmark = pytest.mark.usefixtures("nothing_left")

PROGRAM = Path("/usr/bin/fuse-overlayfs")
USER = 61234

needs_fuse = pytest.mark.skipif(
    not (PROGRAM.exists() and os.path.exists("/dev/fuse")),
    reason="there is no fuse-overlayfs or no /dev/fuse here",
)
MODES = ["overlay", "copy", pytest.param("fuse", marks=needs_fuse)]
CHANGE = (
    "echo new > /etc/passwd && rm -r /home && mkdir /home && echo x > /made && ln -s made /link"
    " && chmod 700 /var && cat /etc/passwd /link && ls -A /home"
)


def shape(root: Path) -> list[tuple[str, int, int, int, int]]:
    """Return what a tree looks like: names, modes, owners, sizes of files."""
    found = []
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            info = os.lstat(path := os.path.join(directory, name))
            size = 0 if os.path.isdir(path) else info.st_size
            found.append(
                (os.path.relpath(path, root), info.st_mode, info.st_uid, info.st_gid, size)
            )
    return sorted(found)


@pytest.mark.parametrize("mode", MODES)
def test_a_directory_is_as_it_was_whatever_the_container_does(nestbox, root, mode):
    before = shape(root)
    done = nestbox.run("--rootfs", f"{root}:{mode}", "--", "sh", "-c", CHANGE)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == ["new", "x"]
    assert shape(root) == before


@pytest.mark.parametrize("mode", MODES)
def test_owners_modes_links_and_capabilities_are_those_of_the_directory(nestbox, root, mode):
    (root / "bin/set").write_bytes(b"x")
    (root / "bin/set").chmod(0o4755)
    os.chown(root / "bin/set", 1000, 50)
    (root / "bin/set").chmod(0o4755)
    script = "stat -c '%a %u %g' /bin/set /tmp /home/worker; readlink /bin/ls"
    done = nestbox.run("--rootfs", f"{root}:{mode}", "--", "sh", "-c", script)
    lines = ["4755 1000 50", "1777 0 0", "755 1000 1000", "busybox"]
    assert done.stdout.splitlines() == lines, done.stderr


def test_a_copy_keeps_holes_and_says_its_size(nestbox, root):
    with (root / "var/holes").open("wb") as sparse:
        sparse.seek(1 << 30)
        sparse.write(b"end")
    done, record = nestbox.recorded(
        "--rootfs", f"{root}:copy", "--", "sh", "-c", "stat -c '%s %b' /var/holes"
    )
    size, blocks = (int(word) for word in done.stdout.split())
    assert size == (1 << 30) + 3
    assert blocks < 1000
    chosen = next(one["chosen"] for one in record["decisions"] if one["subject"] == "root")
    assert "MiB" in chosen


def test_a_copy_has_no_device_pipe_or_socket_of_the_directory(nestbox, root):
    os.mknod(root / "disk", 0o60666, os.makedev(7, 0))
    os.mkfifo(root / "pipe")
    done = nestbox.run("--rootfs", f"{root}:copy", "--", "ls", "/")
    assert done.exit_code == 0, done.stderr
    assert not {"disk", "pipe"} & set(done.stdout.split())


def test_attributes_that_speak_to_overlayfs_do_not_hide_what_is_copied(nestbox, root):
    os.setxattr(root / "etc", "trusted.overlay.opaque", b"y")
    os.setxattr(root / "etc", "user.overlay.opaque", b"y")
    os.mknod(root / "etc/whiteout", 0o20000, 0)
    for mode in ("copy", "overlay"):
        done = nestbox.run("--rootfs", f"{root}:{mode}", "--", "ls", "/etc")
        assert {"passwd", "group"} <= set(done.stdout.split()), done.stderr
        assert "whiteout" not in done.stdout


def test_a_copy_larger_than_the_space_is_refused_before_anything_is_made(nestbox, root):
    (root / "var/large").write_bytes(b"x" * (3 << 20))
    script = 'mkdir -p "$0" && mount -t tmpfs -o size=2m none "$0" && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", script, str(nestbox.storage)]
    done = nestbox.run("--rootfs", f"{root}:copy", "--", "true", before=before)
    assert done.exit_code == 125
    assert "free" in done.stderr
    assert "NESTBOX_STORAGE" in done.stderr


@pytest.mark.parametrize("kind", ["file", "pipe", "loop", "gone"])
@pytest.mark.parametrize("mode", ["overlay", "copy", "fuse"])
def test_what_is_no_directory_is_refused_in_words(nestbox, tmp_path, kind, mode):
    path = tmp_path / kind
    if kind == "file":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    done = nestbox.run("--rootfs", f"{path}:{mode}", "--", "true")
    assert done.exit_code == 125
    assert str(path) in done.stderr
    assert "internal error" not in done.stderr


def test_storage_that_can_only_be_read_is_a_tmpfs_and_told(nestbox, root):
    nestbox.storage.mkdir(parents=True)
    script = 'mount -t tmpfs -o ro,mode=700 none "$0" && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", script, str(nestbox.storage)]
    done, record = nestbox.recorded(
        "--rootfs", f"{root}:overlay", "--", "sh", "-c", "echo a > /made; cat /made", before=before
    )
    assert done.stdout == "a\n", done.stderr
    cause = next(one["cause"] for one in record["decisions"] if one["subject"] == "root")
    assert "EROFS" in cause
    assert "memory" in cause


@needs_fuse
def test_who_ends_fuse_overlayfs_ends_the_container_and_is_told(nestbox, root):
    process = nestbox.start(
        "--rootfs", f"{root}:fuse", "--", "sh", "-c", "echo up; while :; do sleep 1; done"
    )
    expect_line(process, b"up")
    os.kill(_child_named(process.pid, "fuse-overlayfs"), signal.SIGKILL)
    done = end(process)
    assert done.exit_code == 125
    assert "fuse-overlayfs" in done.stderr
    assert "signal 9" in done.stderr


def _child_named(pid: int, name: str) -> int:
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return int(child)
    raise AssertionError(f"{pid} has no child {name}")


@needs_fuse
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no space >&2; exit 3", ("exit status 3", "no space")),
        ("exec sleep 60", ("10 seconds",)),
    ],
    ids=["ends", "hangs"],
)
def test_a_program_that_shows_no_root_is_an_error_in_time(nestbox, root, tmp_path, script, words):
    false = tmp_path / "false"
    false.write_text(f"#!/bin/sh\n{script}\n")
    false.chmod(0o755)
    mount = f'mount --bind {false} {PROGRAM} && exec "$@"'
    done = nestbox.run(
        "--rootfs",
        f"{root}:fuse",
        "--",
        "true",
        before=["unshare", "--mount", "sh", "-c", mount, "sh"],
    )
    assert done.exit_code == 125
    for word in words:
        assert word in done.stderr


@needs_fuse
def test_fuse_overlayfs_is_not_taken_from_a_path_of_the_caller(nestbox, root, tmp_path):
    false = tmp_path / "fuse-overlayfs"
    false.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    false.chmod(0o755)
    nestbox.extra_environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = nestbox.run("--rootfs", f"{root}:fuse", "--", "true")
    assert done.exit_code == 0, done.stderr
    assert not (tmp_path / "executed").exists()


@needs_fuse
def test_fuse_overlayfs_is_out_of_the_containers_reach_and_gets_no_descriptor_of_ours(
    nestbox, root
):
    process = nestbox.start(
        "--privileged", "--rootfs", f"{root}:fuse", "--", "sh", "-c", "ps; echo up; read x",
        stdin=subprocess.PIPE,
    )  # fmt: skip
    seen = []
    for line in process.stdout:
        if line.strip() == b"up":
            break
        seen.append(line)
    assert not any(b"fuse-overlayfs" in line for line in seen)
    program = _child_named(process.pid, "fuse-overlayfs")
    shared = _descriptors(program) & _descriptors(process.pid)
    assert not {one for one in shared if not one.startswith(("/dev/null", "/memfd:nestbox-fuse"))}
    assert end(process).exit_code in {0, 1}


def _descriptors(pid: int) -> set[str]:
    return {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}


def test_storage_of_another_user_behind_a_link_is_not_used(nestbox, root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    os.chown(other, USER, USER)
    nestbox.storage.parent.mkdir(parents=True)
    nestbox.storage.symlink_to(other)
    done, record = nestbox.recorded("--rootfs", f"{root}:overlay", "--", "true")
    assert done.exit_code == 0, done.stderr
    assert not {"layers", "facts"} & {one.name for one in other.iterdir()}
    cause = next(one["cause"] for one in record["decisions"] if one["subject"] == "root")
    assert "EACCES" in cause


def test_an_ordinary_users_layers_are_on_his_disk_and_go_with_the_container(ordinary):
    script = "mkdir -p /tmp/a/b && chmod 0 /tmp/a/b && mkdir /tmp/c && chmod 555 /tmp/c"
    done, record = ordinary.recorded(
        "--rootfs", "host", "--", "sh", "-c", script, before=another_user(USER)
    )
    assert done.exit_code == 0, done.stderr
    chosen = next(one["chosen"] for one in record["decisions"] if one["subject"] == "root")
    assert str(ordinary.storage) in chosen
    assert "left behind" not in done.stderr


@needs_fuse
def test_an_ordinary_user_who_may_open_dev_fuse_can_change_every_file_of_the_present_root(ordinary):
    node = ordinary.directory / "node"
    script = (
        f'mknod -m 666 {node} c 10 229 && mount --bind {node} /dev/fuse && rm {node}; exec "$@"'
    )
    before = ["unshare", "--mount", "sh", "-c", script, "sh", *another_user(USER)]
    change = "echo a > /usr/bin/made && rm /etc/passwd && ls /usr/bin/made && stat -c %u /usr"
    done, record = ordinary.recorded(
        "--rootfs", "host:fuse", "--", "sh", "-c", change, before=before
    )
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == ["/usr/bin/made", "0"]
    assert Path("/etc/passwd").exists()
    cause = next(one["cause"] for one in record["decisions"] if one["subject"] == "root")
    assert "root's" in cause


def test_programs_of_a_copy_run_though_nothing_may_be_executed_in_the_storage(nestbox, root):
    nestbox.storage.mkdir(parents=True)
    script = 'mount -t tmpfs -o noexec,nosuid,mode=700 none "$0" && exec "$@"'
    before = ["unshare", "--mount", "sh", "-c", script, str(nestbox.storage)]
    done = nestbox.run("--rootfs", f"{root}:copy", "--", "echo", "run", before=before)
    assert done.stdout == "run\n", done.stderr
