"""What a configuration asks for and what its container gets, each beside the kernel's own word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.root.oci.bundle import CAPABILITIES

pytestmark = pytest.mark.root


def add_mount(bundle, source, target, *options, kind="bind"):
    """Add a mount, and return the bundle."""
    entry = {"destination": target, "type": kind, "source": str(source), "options": list(options)}
    bundle.config["mounts"].append(entry)
    return bundle


def options_of(oci, bundle, target):
    """Return the options of the mount at a target, as the container sees them."""
    done = oci.run(bundle.shell("cat /proc/self/mountinfo"))
    assert done.exit_code == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {*next(line[5] for line in lines if line[4] == target).split(",")}


def in_user_namespace(bundle):
    """Give the container a user namespace, and its root to the ids in it."""
    bundle.linux["namespaces"].append({"type": "user"})
    rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = rows
    for directory, _, names in os.walk(bundle.rootfs):
        for name in (".", *names):
            os.lchown(os.path.join(directory, name), 100000, 100000)
    for parent in bundle.rootfs.parents[:4]:
        parent.chmod(0o755)
    return bundle


def test_a_bind_has_what_its_options_name_and_nothing_else(oci, bundle, tmp_path):
    (tmp_path / "data").mkdir()
    found = options_of(oci, add_mount(bundle, tmp_path / "data", "/d", "bind", "ro", "nodev"), "/d")
    assert {"ro", "nodev"} <= found
    assert not {"nosuid", "noexec"} & found


def test_in_a_user_namespace_a_bind_comes_from_a_closed_directory(oci, bundle, tmp_path):
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    (closed / "data" / "file").write_text("inside\n")
    closed.chmod(0o700)
    add_mount(in_user_namespace(bundle), closed / "data", "/d", "rbind")
    done = oci.run(bundle.args("cat", "/d/file"))
    assert (done.exit_code, done.stdout) == (0, "inside\n"), done.stderr


def test_a_source_below_the_root_is_what_is_mounted_there(oci, bundle, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from outside\n")
    add_mount(bundle, tmp_path / "data", "/first", "bind")
    add_mount(bundle, bundle.rootfs / "first", "/second", "bind")
    done = oci.run(bundle.args("cat", "/second/file"))
    assert (done.exit_code, done.stdout) == (0, "from outside\n"), done.stderr


def test_a_link_of_the_root_leads_no_source_outside(oci, bundle):
    (bundle.rootfs / "escape").symlink_to("/etc")
    add_mount(bundle, bundle.rootfs / "escape", "/found", "bind")
    done = oci.run(bundle.args("ls", "/found"))
    assert "shadow" not in done.stdout


@pytest.mark.parametrize(
    ("target", "kind", "words"),
    [
        ("/proc", "tmpfs", "it is not of type proc"),
        ("/proc/self/attr", "tmpfs", "it is inside /proc"),
        ("/proc/../proc/sys", "bind", "it is inside /proc"),
        ("/", "tmpfs", "is on the top of rootfs"),
    ],
)
def test_a_mount_that_would_deceive_is_refused(oci, bundle, tmp_path, target, kind, words):
    options = ["bind"] if kind == "bind" else []
    done = oci.run(add_mount(bundle, tmp_path, target, *options, kind=kind))
    assert done.exit_code == 1
    assert words in done.stderr
    assert not oci.root.exists() or not os.listdir(oci.root)


def test_a_missing_source_is_told_and_leaves_nothing(oci, bundle, tmp_path):
    done = oci.run(add_mount(bundle, tmp_path / "gone", "/d", "bind"))
    assert done.exit_code == 1
    assert f'error mounting "{tmp_path}/gone" to rootfs at "/d"' in done.stderr
    assert "no such file or directory" in done.stderr
    assert not (bundle.rootfs / "d").exists()


def lacking(*names):
    """Return the start of a command that runs the runtime without these capabilities."""
    dropped = ",".join(f"-{name.removeprefix('CAP_').lower()}" for name in names)
    return ["setpriv", f"--bounding-set={dropped}"]


def run_without(oci, bundle, *names):
    """Run a container with a runtime that lacks capabilities."""
    command = oci.words("run", "--bundle", str(bundle.write()), oci.new_id())
    oci.directory.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [*lacking(*names), *command], capture_output=True, text=True, check=False, timeout=60
    )


def test_without_mknod_the_outer_devices_are_bound(oci, bundle):
    done = run_without(
        oci, bundle.shell("cat /proc/mounts; echo x > /dev/null && echo written"), "CAP_MKNOD"
    )
    assert done.returncode == 0, done.stderr
    assert " /dev/null " in done.stdout
    assert "written" in done.stdout
    assert any("CAP_MKNOD" in line for line in oci.messages("warning"))


def test_without_mknod_a_device_that_is_not_outside_is_refused_by_name(oci, bundle):
    asked = {"path": "/dev/nestbox-none", "type": "c", "major": 10, "minor": 666}
    bundle.linux["devices"] = [asked]
    done = run_without(oci, bundle, "CAP_MKNOD")
    assert done.returncode == 1
    assert "CAP_MKNOD" in done.stderr
    assert "/dev/nestbox-none" in done.stderr


def test_a_capability_that_is_not_here_is_left_out_and_told(oci, bundle):
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_BOOT")
    done = run_without(oci, bundle.shell("grep CapBnd /proc/self/status"), "CAP_SYS_BOOT")
    assert done.returncode == 0, done.stderr
    mask = int(done.stdout.split()[1], 16)
    assert not mask >> 22 & 1
    assert mask.bit_count() == len(CAPABILITIES)
    assert any("CAP_SYS_BOOT" in line for line in oci.messages("warning"))


def test_the_strict_annotation_refuses_all_that_is_not_here_at_once(oci, bundle):
    bundle.config["annotations"] = {"org.nestbox.strict": "true"}
    bundle.process["capabilities"]["bounding"].append("CAP_SYS_BOOT")
    limit = {"type": "RLIMIT_NOFILE", "hard": 1 << 40, "soft": 1 << 40}
    bundle.process["rlimits"] = [limit]
    done = run_without(oci, bundle, "CAP_SYS_BOOT", "CAP_SYS_RESOURCE")
    assert done.returncode == 1
    assert "CAP_SYS_BOOT" in done.stderr
    assert "RLIMIT_NOFILE" in done.stderr


def test_limits_that_cannot_be_raised_are_clamped_and_told(oci, bundle):
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": 1 << 40, "soft": 1 << 40}]
    bundle.process["oomScoreAdj"] = -1000
    done = run_without(
        oci, bundle.shell("ulimit -Hn; cat /proc/self/oom_score_adj"), "CAP_SYS_RESOURCE"
    )
    assert done.returncode == 0, done.stderr
    hard, score = done.stdout.split()
    assert int(hard) < 1 << 40
    assert score == Path("/proc/self/oom_score_adj").read_text().strip()
    told = "\n".join(oci.messages("warning"))
    assert "RLIMIT_NOFILE" in told
    assert "oom_score_adj" in told


def test_what_only_a_security_module_could_do_is_left_out_and_told(oci, bundle):
    listed = Path("/sys/kernel/security/lsm")
    active = listed.read_text() if listed.exists() else ""
    if "apparmor" in active or "selinux" in active:
        pytest.skip(f"security modules are active here: {active}")
    bundle.process["apparmorProfile"] = "docker-default"
    bundle.linux["mountLabel"] = "system_u:object_r:container_file_t:s0"
    done = oci.run(bundle.args("true"))
    assert done.exit_code == 0, done.stderr
    told = "\n".join(oci.messages("warning"))
    assert "apparmor" in told
    assert "mount-label" in told


def test_a_read_only_dev_is_complete(oci, bundle):
    bundle.config["mounts"][1]["options"].append("ro")
    done = oci.run(bundle.shell("test -c /dev/null && test -L /dev/fd && touch /dev/x"))
    assert "Read-only file system" in done.stderr


def test_a_sysfs_of_a_shared_network_is_the_outer_one(oci, bundle):
    in_user_namespace(bundle).namespaces(without=("network",))
    done = oci.run(bundle.shell("ls /sys/class/net; touch /sys/x"))
    assert done.stdout.split() == sorted(os.listdir("/sys/class/net"))
    assert "Read-only file system" in done.stderr


def test_home_is_that_of_the_user_in_the_root(oci, bundle):
    (bundle.rootfs / "etc").mkdir(exist_ok=True)
    (bundle.rootfs / "etc" / "passwd").write_text("u:x:77:7::/home/u:/bin/sh\n")
    bundle.process["user"] = {"uid": 77, "gid": 7, "additionalGids": [8, 9]}
    done = oci.run(bundle.shell("echo $HOME; id -G"))
    assert done.stdout.split() == ["/home/u", "7", "8", "9"]


@pytest.mark.skipif(shutil.which("findmnt") is None, reason="findmnt is not installed")
def test_no_mount_of_a_container_appears_outside(oci, bundle, tmp_path):
    (tmp_path / "data").mkdir()
    add_mount(bundle, tmp_path / "data", "/d", "rbind", "rslave")
    name = oci.up(bundle)
    found = json.loads(
        subprocess.run(["findmnt", "--json", "--list"], capture_output=True, check=True).stdout
    )
    targets = [one["target"] for one in found["filesystems"]]
    assert not [target for target in targets if str(bundle.rootfs) in target]
    oci.ok("delete", "--force", name)
