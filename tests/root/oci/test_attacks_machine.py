"""What a container could do to the machine: sysctls, cgroups, the caller's terminal, keyrings."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import subprocess
import termios
from pathlib import Path

import pytest

from tests.root.driver import SECONDS
from tests.root.oci.test_config import add_mount

pytestmark = pytest.mark.root

KEYRING = Path(__file__).parent.parent / "keyring.c"
WRITABLE_SYSTEM_FILES = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
)


def refused(oci, done):
    """Hold that a command was refused in words and left nothing."""
    assert done.exit_code == 1, done
    assert "Traceback" not in done.stderr
    assert not oci.root.exists() or not os.listdir(oci.root)


# Sysctls of the machine, and names and values that are none: CVE-2022-0811.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel.core_pattern", "|/bin/evil"),
        ("kernel/core_pattern", "|/bin/evil"),
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/bin/evil"),
        ("kernel.shm_rmid_forced", "1\nkernel.core_pattern=x"),
        ("net/../kernel/core_pattern", "x"),
        ("net..kernel.core_pattern", "x"),
        ("net.ipv4./../../kernel/core_pattern", "x"),
        ("net/./ipv4/ip_forward", "1"),
        ("/net/ipv4/ip_forward", "1"),
        ("net.ipv4.ip_forward\n", "1"),
        ("", "1"),
        ("vm.overcommit_memory", "1"),
        ("user.max_user_namespaces", "1"),
        ("fs.mqueue.", "1"),
        ("fs.mqueue/../suid_dumpable", "1"),
        ("kernel.hostname", "x"),
    ],
)
def test_a_sysctl_that_is_not_the_containers_is_not_written(oci, bundle, name, value):
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    bundle.linux["sysctl"] = {name: value}
    refused(oci, oci.run(bundle.args("true")))
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_a_sysctl_is_not_written_to_what_the_container_has_at_proc(oci, bundle, tmp_path):
    target = tmp_path / "proc/sys/net/ipv4"
    target.mkdir(parents=True)
    (target / "ip_forward").write_text("untouched")
    bundle.config["mounts"] = [one for one in bundle.config["mounts"] if one["type"] != "proc"]
    (bundle.rootfs / "proc").rmdir()
    (bundle.rootfs / "proc").symlink_to(tmp_path / "proc")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    oci.run(bundle.args("true"))
    assert (target / "ip_forward").read_text() == "untouched"


def test_system_files_cannot_be_written(oci, bundle):
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/proc/sysrq-trigger"]
    tries = [word for path in WRITABLE_SYSTEM_FILES for word in ("open", path, "w", "+")]
    done = oci.run(bundle.args("probe", *tries[:-1]))
    answers = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(answers) == len(WRITABLE_SYSTEM_FILES)
    assert set(answers) <= {errno.EROFS, errno.ENOENT, errno.EACCES}


# Cgroups: CVE-2022-0492, CVE-2023-25809.


def with_cgroups(bundle, *options, namespace):
    """Mount the cgroups; return the bundle."""
    if namespace:
        bundle.linux["namespaces"].append({"type": "cgroup"})
    return add_mount(bundle, "cgroup", "/sys/fs/cgroup", *options, kind="cgroup")


def release_agents(oci, bundle):
    """Return where the container finds a release agent or the processes of the outer root."""
    script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $d/release_agent ] && echo $d; done"
    done = oci.run(bundle.shell(f"ls /sys/fs/cgroup; {script}; true"))
    assert done.exit_code == 0, done.stderr
    return [word for word in done.stdout.split() if word.startswith("/")]


@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("options", [("ro",), ()])
def test_no_release_agent_is_in_sight(oci, bundle, namespace, options):
    assert release_agents(oci, with_cgroups(bundle, *options, namespace=namespace)) == []


@pytest.mark.parametrize("namespace", [False, True])
def test_read_only_cgroups_are_read_only_to_the_last_file(oci, bundle, namespace):
    with_cgroups(bundle, "ro", namespace=namespace)
    script = (
        "for f in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null ||"
        " ls -d /sys/fs/cgroup/*/cgroup.procs); do echo found; echo 0 > $f && echo WRITTEN $f; done"
    )
    done = oci.run(bundle.shell(f"{script}; true"))
    assert "found" in done.stdout, done.stderr
    assert "WRITTEN" not in done.stdout


@pytest.mark.parametrize("namespace", [False, True])
def test_without_cgroups_of_its_own_a_container_writes_to_nobodys(oci, bundle, namespace):
    oci.flags = ("--cgroup-manager", "disabled")
    with_cgroups(bundle, namespace=namespace)
    script = (
        "for d in /sys/fs/cgroup/*; do [ -e $d/cgroup.procs ] || continue; echo found;"
        " echo 0 > $d/notify_on_release && echo WRITTEN $d; mkdir $d/x && echo MADE; done"
    )
    done = oci.run(bundle.shell(f"{script}; true"))
    assert "found" in done.stdout, done.stderr
    assert "WRITTEN" not in done.stdout
    assert "MADE" not in done.stdout
    assert any("cgroup" in line for line in oci.messages("warning"))


def test_a_container_cannot_nest_its_cgroups_so_deep_that_it_stays(oci, bundle, voice):
    """Deeper than an interpreter's stack and a process's descriptors reach."""
    with_cgroups(bundle, namespace=True)
    script = (
        "cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; i=0;"
        " while [ $i -lt 1200 ]; do mkdir d || break; cd d; i=$((i+1)); done;"
        " echo $$ > cgroup.procs; echo $i; sleep 1000"
    )
    name = oci.up(bundle.shell(script), stdout=voice.writing)
    assert voice.line() == "1200"
    for command in (("ps", name), ("kill", "--all", name, "KILL"), ("delete", "--force", name)):
        oci.ok(*command)
    assert [top for top, names, _ in os.walk("/sys/fs/cgroup") if name in names] == []


@pytest.mark.parametrize("command", ["kill", "kill --all", "delete"])
def test_a_container_that_freezes_itself_dies_all_the_same(oci, bundle, command):
    with_cgroups(bundle, namespace=True)
    script = (
        "cd /sys/fs/cgroup; [ ! -d freezer ] || cd freezer; mkdir d; echo 1 > d/cgroup.procs;"
        " f=d/freezer.state v=FROZEN; [ -e $f ] || f=d/cgroup.freeze v=1; echo $v > $f; sleep 1000"
    )
    name = oci.up(bundle.shell(script))
    where = "freezer.state" if os.path.isdir("/sys/fs/cgroup/freezer") else "cgroup.events"
    (top,) = {f"{top}/{name}/d" for top, names, _ in os.walk("/sys/fs/cgroup")
              if name in names and os.path.exists(f"{top}/{name}/{where}")}  # fmt: skip
    while (Path(top) / where).read_text().split()[-1] not in {"FROZEN", "1"}:
        os.sched_yield()
    if command == "delete":
        oci.ok("delete", "--force", name)
        return
    word, *flags = command.split()
    oci.ok(word, *flags, name, "KILL")
    oci.wait(name)


@pytest.mark.parametrize("path", ["../../../{id}", "/../{id}", "a/../../../{id}", "./{id}//."])
def test_dots_in_a_cgroup_path_lead_nowhere_else(oci, bundle, path):
    name = oci.new_id()
    bundle.linux["cgroupsPath"] = path.format(id=name)
    done = oci.call("run", "--bundle", str(bundle.args("cat", "/proc/self/cgroup").write()), name)
    assert done.exit_code == 0, done.stderr
    for line in done.stdout.splitlines():
        where = line.split(":", 2)[2]
        assert where.rstrip("/").endswith(name) or where == "/", line
        assert ".." not in where


@pytest.mark.parametrize("path", ["/", "/..", "/a/..", "//", "/a\nb"])
def test_a_cgroup_path_of_everybody_is_refused(oci, bundle, path):
    bundle.linux["cgroupsPath"] = path
    name = oci.new_id()
    refused(oci, oci.call("run", "--bundle", str(bundle.args("true").write()), name))


@pytest.mark.parametrize("path", ["..", "../x", "x/../../y", "/../..", "memory:../x"])
def test_an_exec_leaves_the_cgroup_of_its_container_by_no_dots(oci, bundle, path):
    name = oci.up(bundle)
    done = oci.exec(name, "true", flags=("--cgroup", path))
    assert done.exit_code != 0
    assert "invalid --cgroup argument" in done.stderr


def test_annotations_of_systemd_do_nothing_without_systemd(oci, bundle, tmp_path):
    bundle.config["annotations"] = {
        "org.systemd.property.ExecStopPost": f"['/bin/touch {tmp_path}/evil']",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.criu.config": f"{tmp_path}/criu.conf",
    }
    assert oci.run(bundle.args("true")).exit_code == 0
    assert not (tmp_path / "evil").exists()


# The terminal of the caller: CVE-2017-5226; and the session keyring.


@pytest.mark.parametrize("command", ["run", "exec"])
def test_nothing_can_be_typed_into_the_terminal_of_the_caller(oci, bundle, command):
    bundle.args("probe", "push")
    oci.directory.mkdir(parents=True)
    if command == "run":
        words = oci.words("run", "--bundle", str(bundle.write()), oci.new_id())
    else:
        name = oci.up(bundle.args("sleep", "1000"))
        words = oci.words("exec", name, "probe", "push")
    master, slave = os.openpty()
    try:
        streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        subprocess.run(
            ["setsid", "--ctty", "--wait", *words], **streams, check=False, timeout=SECONDS
        )
        waiting = array.array("i", [0])
        fcntl.ioctl(slave, termios.FIONREAD, waiting)
        shown = os.read(master, 65536)
    finally:
        os.close(master)
        os.close(slave)
    assert b"push" in shown
    assert waiting[0] == 0


def test_a_keyring_that_one_container_opens_is_not_joined_by_another(oci, bundle, tmp_path, voice):
    subprocess.run(["gcc", "-static", "-o", bundle.rootfs / "bin/keyring", KEYRING], check=True)
    ours = subprocess.run(
        [bundle.rootfs / "bin/keyring"], stdin=subprocess.DEVNULL, capture_output=True, check=True
    ).stdout.split()[1]
    found = {ours.decode()}
    for _ in range(2):
        name = oci.up(bundle.args("keyring"), stdout=voice.writing, stdin=subprocess.DEVNULL)
        found.add(voice.line().split()[1])
        assert voice.line().startswith("opened")
        assert voice.line() == "ready"
        oci.wait(name)
    assert len(found) == 3
