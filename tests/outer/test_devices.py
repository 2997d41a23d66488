"""The nodes of /dev: what each is and whether it opens."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from nestbox.outer import devices
from nestbox.outer.facts import Subject
from tests.users import another_user

DEVICES = frozenset({Subject.DEVICES})


def test_the_usual_nodes_are_found_with_their_numbers():
    nodes = devices.observe_nodes(everything=False)
    null = nodes["/dev/null"]
    assert (null.kind, null.major, null.minor) == ("c", 1, 3)
    assert null.opens.works
    assert set(nodes) <= set(devices.DEFAULT_NODES)


def test_every_node_below_dev_is_found_and_nothing_else():
    nodes = devices.observe_nodes(everything=True)
    for path, node in nodes.items():
        facts = os.lstat(path)
        assert stat.S_ISCHR(facts.st_mode) == (node.kind == "c")
        assert stat.S_ISBLK(facts.st_mode) == (node.kind == "b")
        assert facts.st_rdev == os.makedev(node.major, node.minor)
    skipped = ("/dev/pts/", "/dev/shm/", "/dev/mqueue/", "/dev/fd/")
    assert not [path for path in nodes if path.startswith(skipped)]
    assert "/dev/console" not in nodes
    found = {path for path in nodes if path.count("/") == 2}
    direct = {
        entry.path
        for entry in os.scandir("/dev")
        if stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) in {stat.S_IFCHR, stat.S_IFBLK}
    }
    assert direct - {"/dev/console"} == found


@pytest.mark.root
def test_nodes_on_a_mount_without_devices_do_not_open(observe_under):
    script = (
        "mount -t tmpfs -o nodev none /dev && mknod /dev/null c 1 3 && mknod /dev/other c 1 5"
        " && mkdir /dev/deep /dev/shm && mknod /dev/deep/block b 7 0 && mknod /dev/shm/x c 1 3"
        ' && ln -s null /dev/link && mkfifo /dev/pipe && exec "$0" "$@"'
    )
    found = observe_under(["unshare", "--mount", "sh", "-c", script], DEVICES)
    nodes = found.devices.nodes
    assert sorted(nodes) == ["/dev/deep/block", "/dev/null", "/dev/other"]
    assert {node.opens.error for node in nodes.values()} == {"EACCES"}
    assert nodes["/dev/deep/block"].kind == "b"


@pytest.mark.root
def test_a_user_who_may_not_open_a_node_is_told_so(observe_under):
    script = (
        "mount -t tmpfs none /dev && mknod -m 600 /dev/null c 1 3 && mknod -m 666 /dev/zero c 1 5"
        " && mknod -m 600 /dev/other c 1 7 && mknod -m 666 /dev/open c 1 7"
        ' && exec "$0" "$@"'
    )
    command = ["unshare", "--mount", "sh", "-c", script, *another_user()]
    found = observe_under(command, DEVICES, state_directory="/proc/none").devices
    errors = {path: node.opens.error for path, node in found.nodes.items()}
    assert errors == {
        "/dev/null": "EACCES",
        "/dev/zero": None,
        "/dev/other": "EACCES",
        "/dev/open": None,
    }
    assert found.mknod.error == "EPERM"


@pytest.mark.root
def test_a_device_cgroup_is_noticed_without_opening(observe_under):
    parent = "/sys/fs/cgroup/devices"
    if not os.path.exists(f"{parent}/devices.deny"):
        pytest.skip("no version 1 devices controller is mounted")
    group = f"{parent}/nestbox-test-{os.getpid()}"
    os.mkdir(group)
    try:
        with open(f"{group}/devices.deny", "w") as file:
            file.write("c 1:11 rwm")  # kmsg
        script = f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"'
        nodes = observe_under(["sh", "-c", script], DEVICES).devices.nodes
    finally:
        os.rmdir(group)
    assert nodes["/dev/kmsg"].opens.error == "EPERM"
    assert nodes["/dev/null"].opens.works


@pytest.mark.root
def test_a_process_without_a_terminal_may_still_open_the_node_of_one(observe_under):
    found = observe_under(["setsid", "--wait"], DEVICES)
    assert found.devices.nodes["/dev/tty"].opens.works


def test_no_node_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    devices.observe_nodes(everything=True)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.root
def test_nothing_but_the_usual_nodes_is_opened(tmp_path):
    log = tmp_path / "log"
    script = "from nestbox.outer import devices; devices.observe_nodes(everything=True)"
    traced = subprocess.run(
        [
            "strace",
            "-f",
            "-e",
            "trace=open,openat,openat2",
            "-o",
            log,
            sys.executable,
            "-c",
            script,
        ],
        check=False,
        capture_output=True,
    )
    if traced.returncode != 0:
        pytest.skip("strace cannot trace here")
    opened = {
        line.split('"')[1] for line in log.read_text().splitlines() if line.count('"/dev') == 1
    }
    nodes = {path for path in opened if not os.path.isdir(path)}
    assert nodes
    assert nodes <= set(devices.DEFAULT_NODES)
