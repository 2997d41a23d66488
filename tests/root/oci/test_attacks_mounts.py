"""Hostile roots under an engine's configuration: links as targets, masks, devices, copied trees.

Nothing outside of the root is made, changed or covered; a refusal is as good as staying inside.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess

import pytest

from tests.root.hostile import WAYS, links_to, plant
from tests.root.oci.test_config import add_mount, in_user_namespace

pytestmark = pytest.mark.root

LAUNCHES = 12


def contained(oci, done):
    """Hold that a launch succeeded, or was refused and left nothing."""
    assert done.exit_code in {0, 1}, done
    assert "Traceback" not in done.stderr
    assert not oci.root.exists() or not os.listdir(oci.root)


@pytest.fixture(autouse=True)
def no_mount_left(tmp_path):
    """Hold that a test leaves nothing mounted outside."""
    yield
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        assert [line for line in file if str(tmp_path) in line] == []


# /proc, /sys and /dev as links: CVE-2023-27561, CVE-2023-28642, CVE-2026-41579.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_link_in_the_place_of_a_kernel_mount_leads_nowhere(oci, bundle, outside, name, way):
    plant(bundle.rootfs, links_to(outside, name)[way])
    done = oci.run(bundle.args("true"))
    contained(oci, done)
    assert done.exit_code == 1


@pytest.mark.parametrize("way", WAYS)
def test_devices_and_links_of_a_root_without_a_dev_mount_lead_nowhere(oci, bundle, outside, way):
    plant(bundle.rootfs, links_to(outside, "dev")[way])
    bundle.config["mounts"] = []
    contained(oci, oci.run(bundle.args("true")))
    assert sorted(os.listdir(outside / "dev")) == ["null"]


def test_a_device_of_the_configuration_follows_no_link(oci, bundle, outside):
    plant(bundle.rootfs, [("nodes", f"{'../' * 12}{outside}/data")])
    asked = {"path": "/nodes/disk", "type": "b", "major": 7, "minor": 0}
    bundle.linux["devices"] = [asked]
    done = oci.run(bundle.args("true"))
    contained(oci, done)
    assert done.exit_code == 1


# Targets of binds: CVE-2018-15664, CVE-2019-16884, CVE-2021-30465, CVE-2024-45310.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", ["/data", "/data/below/it"])
def test_a_link_on_the_way_of_a_bind_stays_inside(oci, bundle, outside, tmp_path, way, target):
    plant(bundle.rootfs, links_to(outside, "data")[way])
    volume = tmp_path / "volume"
    volume.mkdir()
    contained(oci, oci.run(add_mount(bundle, volume, target, "bind").args("true")))
    assert list(volume.iterdir()) == []


@pytest.mark.parametrize("leads", ["/proc", "/proc/self", "/proc/sys/kernel"])
@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_link_that_leads_to_proc_is_no_target(oci, bundle, tmp_path, leads, kind):
    plant(bundle.rootfs, [("data", leads)])
    options = ["bind"] if kind == "bind" else []
    done = oci.run(add_mount(bundle, tmp_path, "/data", *options, kind=kind).args("true"))
    assert done.exit_code == 1
    assert "/data" in done.stderr


def test_a_link_in_one_volume_leads_the_next_nowhere(oci, bundle, outside, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "next").symlink_to(f"{'../' * 12}{outside}/data")
    (tmp_path / "file").touch()
    add_mount(bundle, volume, "/volume", "bind")
    add_mount(bundle, tmp_path / "file", "/volume/next/file", "bind")
    contained(oci, oci.run(bundle.args("true")))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["proc", "dev", "sys", "data", "etc"])
def test_a_directory_that_turns_into_a_link_meanwhile_leads_nowhere(
    oci, bundle, outside, tmp_path, swapping, name
):
    (bundle.rootfs / "data").mkdir(exist_ok=True)
    (bundle.rootfs / "aside").symlink_to(outside / name)
    volume = tmp_path / "volume"
    volume.mkdir()
    add_mount(bundle, volume, "/data/made/here", "bind")
    add_mount(bundle, "tmpfs", "/etc", "tmpcopyup", kind="tmpfs")
    bundle.process["cwd"] = "/data/work"
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/sys/firmware", "/etc/hosts"]
    swapping(bundle.rootfs / name, bundle.rootfs / "aside")
    for _ in range(LAUNCHES):
        contained(oci, oci.run(bundle.args("true")))


# What is masked, and by which device: CVE-2025-31133.


def test_a_mask_is_the_outer_null_device_whatever_the_root_and_its_dev_have(oci, bundle, tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "null").write_text("a file of the image")
    bundle.config["mounts"] = [one for one in bundle.config["mounts"] if one["type"] == "proc"]
    add_mount(bundle, tmp_path / "dev", "/dev", "bind")
    bundle.linux["maskedPaths"] = ["/proc/interrupts", "/proc/timer_list", "/proc/keys"]
    done = oci.run(
        bundle.shell("cat /proc/interrupts /proc/timer_list; stat -c '%F %t:%T' /proc/keys")
    )
    assert done.stdout == "character special file 1:3\n", done.stderr


@pytest.mark.parametrize(
    "leads", ["/proc/1/root{outside}/etc/hosts", "{outside}/etc/hosts", "gone"]
)
def test_a_masked_path_that_is_a_link_covers_nothing_outside(oci, bundle, outside, leads):
    (bundle.rootfs / "secret").symlink_to(leads.format(outside=outside))
    bundle.linux["maskedPaths"] = ["/secret"]
    bundle.linux["readonlyPaths"] = ["/secret"]
    contained(oci, oci.run(bundle.args("true")))


def test_a_directory_in_the_place_of_a_masked_file_is_covered_all_the_same(oci, bundle):
    (bundle.rootfs / "secret").mkdir()
    (bundle.rootfs / "secret" / "key").write_text("secret\n")
    bundle.linux["maskedPaths"] = ["/secret"]
    done = oci.run(bundle.shell("ls -A /secret; touch /secret/x"))
    assert done.stdout == ""
    assert "Read-only" in done.stderr


def test_what_proc_and_sys_leak_is_masked_as_the_configuration_of_engines_says(oci, bundle):
    """GHSA-6fw5-f8r9-fgfm, GHSA-jq35-85cj-fj4p."""
    masked = ["/proc/interrupts", "/sys/devices/virtual/powercap", "/sys/firmware"]
    bundle.linux["maskedPaths"] = masked
    done = oci.run(bundle.shell("cat /proc/interrupts; ls -A /sys/firmware"))
    assert done.stdout == ""


# The terminal: CVE-2025-52565.


@pytest.mark.parametrize("way", WAYS)
def test_a_console_behind_a_link_changes_nothing_outside(oci, bundle, outside, tmp_path, way):
    """In a /dev from outside there can be anything in its place."""
    dev = tmp_path / "dev"
    (dev / "pts").mkdir(parents=True)
    (dev / "ptmx").symlink_to("pts/ptmx")
    for name, leads in links_to(outside, "console")[way]:
        (dev / name).symlink_to(leads)
    mounts = bundle.config["mounts"]
    mounts[1] = {"destination": "/dev", "type": "bind", "source": str(dev), "options": ["bind"]}
    bundle.args("true").process["terminal"] = True
    oci.directory.mkdir(parents=True)
    done = subprocess.run(
        ["setsid", "--wait", *oci.words("run", "--bundle", str(bundle.write()), oci.new_id())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in {0, 1}, done
    assert "Traceback" not in done.stderr
    assert not (outside / "console").exists()
    assert "log" not in done.stderr


def test_a_file_in_the_place_of_the_terminals_multiplexer_is_not_opened(oci, bundle, tmp_path):
    dev = tmp_path / "dev"
    (dev / "pts").mkdir(parents=True)
    (dev / "pts" / "ptmx").write_text("a file")
    kept = [one for one in bundle.config["mounts"] if not one["destination"].startswith("/dev")]
    bundle.config["mounts"] = kept
    bundle.process["terminal"] = True
    done = oci.run(add_mount(bundle, dev, "/dev", "bind"))
    assert done.exit_code == 1
    assert (dev / "pts" / "ptmx").read_text() == "a file"


# A tmpfs filled with what it covers.


def test_a_copied_tree_holds_no_file_of_the_outside(oci, bundle, outside):
    source = bundle.rootfs / "tree"
    (source / "deep").mkdir(parents=True)
    (source / "file").write_text("inside\n")
    (source / "link").symlink_to(outside / "etc" / "hosts")
    (source / "deep" / "up").symlink_to(f"{'../' * 12}{outside}/data")
    os.link(source / "file", source / "same")
    os.mkfifo(source / "pipe")
    os.mknod(source / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    (source / "file").chmod(0o4755)
    add_mount(bundle, "tmpfs", "/tree", "tmpcopyup", "nosuid", kind="tmpfs")
    script = "cd /tree; cat file same; stat -c '%F %a' file link pipe disk deep/up; echo new > file"
    done = oci.run(bundle.shell(script))
    kinds = ["regular file 4755", "symbolic link 777", "fifo 644", "block special file 600"]
    assert done.stdout.splitlines() == ["inside", "inside", *kinds, "symbolic link 777"], done
    assert (source / "file").read_text() == "inside\n"


def test_another_mount_in_a_copied_tree_is_not_copied(oci, bundle, tmp_path):
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "big").write_text("of a volume")
    (bundle.rootfs / "tree").mkdir()
    add_mount(bundle, tmp_path / "volume", "/tree/volume", "bind")
    add_mount(bundle, "tmpfs", "/tree", "tmpcopyup", kind="tmpfs")
    done = oci.run(bundle.shell("find /tree -name big 2>/dev/null || ls -R /tree"))
    assert "big" not in done.stdout


@pytest.mark.parametrize("kind", ["sparse", "deep"])
def test_a_tree_too_large_to_copy_is_refused_and_leaves_nothing(oci, bundle, kind):
    source = bundle.rootfs / "tree"
    source.mkdir()
    if kind == "sparse":
        with open(source / "file", "wb") as file:
            file.truncate(1 << 40)
    else:
        os.makedirs(f"{source}/{'/'.join(['d'] * 200)}")
    add_mount(bundle, "tmpfs", "/tree", "tmpcopyup", "size=64k", kind="tmpfs")
    done = oci.run(bundle.args("true"))
    assert done.exit_code == 1
    contained(oci, done)


# What a mount of the outside has, and what a user namespace may not take away.


@pytest.fixture
def closed_volume(tmp_path):
    """Yield a directory that is writable for everybody, on a mount that is not."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    subprocess.run(["mount", "--bind", volume, volume], check=True)
    options = "remount,bind,ro,nosuid,nodev"
    subprocess.run(["mount", "-o", options, volume], check=True)
    yield volume
    subprocess.run(["umount", volume], check=True)


def test_what_is_locked_outside_stays_in_a_user_namespace(oci, bundle, closed_volume):
    add_mount(in_user_namespace(bundle), closed_volume, "/d", "rbind", "rprivate")
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_ADMIN")
    script = "mount -o remount,bind,rw /d; mount -o remount,bind,ro,suid,dev /d; touch /d/x"
    done = oci.run(bundle.shell(f"{script}; grep ' /d ' /proc/mounts"))
    assert {"ro", "nosuid", "nodev"} <= {*done.stdout.split()[3].split(",")}, done
    assert list(closed_volume.iterdir()) == []


def test_a_user_namespace_finds_nothing_below_a_mount_that_it_cannot_take_away(
    oci, bundle, tmp_path
):
    covered = tmp_path / "volume" / "covered"
    covered.mkdir(parents=True)
    (covered / "secret").touch()
    subprocess.run(["mount", "-t", "tmpfs", "cover", covered], check=True)
    try:
        add_mount(in_user_namespace(bundle), tmp_path / "volume", "/d", "rbind")
        for names in bundle.process["capabilities"].values():
            names.append("CAP_SYS_ADMIN")
        done = oci.run(bundle.shell("umount /d/covered; ls -R /d"))
    finally:
        subprocess.run(["umount", covered], check=True)
    assert done.exit_code == 0
    assert "secret" not in done.stdout


def test_an_id_mapped_mount_gives_no_right_over_the_files_of_others(oci, bundle, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "of-root").write_text("secret")
    (data / "of-root").chmod(0o600)
    rows = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    entry = {"destination": "/d", "type": "bind", "source": str(data), "options": ["bind"]}
    bundle.config["mounts"].append({**entry, "uidMappings": rows, "gidMappings": rows})
    in_user_namespace(bundle)
    done = oci.run(bundle.shell("stat -c %u /d/of-root; cat /d/of-root; chown 0 /d/of-root"))
    contained(oci, done)
    assert (data / "of-root").stat().st_uid == 0


# Without pivot_root.


@pytest.mark.parametrize("flags", [(), ("--no-pivot",)])
def test_no_proc_or_sysfs_of_the_machine_is_in_reach(oci, bundle, flags):
    kept = [one for one in bundle.config["mounts"] if one["type"] not in {"proc", "sysfs"}]
    bundle.config["mounts"] = kept
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_ADMIN")
    script = (
        "mount -t proc proc /proc; grep -E ' (proc|sysfs) ' /proc/self/mounts;"
        " echo pids; ls -d /proc/[0-9]* | wc -l"
    )
    done = oci.run(bundle.shell(script), *flags)
    shown, _, count = done.stdout.partition("pids\n")
    assert [line.split()[1] for line in shown.splitlines()] == ["/proc"]
    assert int(count) < 10


def test_without_a_mount_namespace_no_flag_covers_the_root_of_the_machine(oci, bundle):
    bundle.namespaces(without=("mount",)).config["mounts"] = []
    before = os.stat("/").st_dev, os.stat("/").st_ino
    oci.directory.mkdir(parents=True)
    # In a mount namespace of its own, should it be wrong.
    words = oci.words("run", "--no-pivot", "--bundle", str(bundle.args("ls", "/").write()))
    script = '"$@" && stat -c %d:%i /'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words, oci.new_id()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{before[0]}:{before[1]}"


def test_nothing_lies_above_the_root(oci, bundle):
    ways = ("/..", "/../../..", "/proc/self/root/..", "/proc/1/cwd/..", ".")
    for flags in ((), ("--no-pivot",)):
        done = oci.run(bundle.args("stat", "-c", "%d:%i", "/", *ways), *flags)
        assert done.exit_code == 0, done.stderr
        assert len(set(done.stdout.split())) == 1


def test_only_what_the_configuration_names_is_mounted(oci, bundle):
    done = oci.run(bundle.args("cat", "/proc/self/mountinfo"))
    targets = [line.split()[4] for line in done.stdout.splitlines()]
    assert targets == ["/", "/proc", "/dev", "/dev/pts", "/sys"]


def test_a_disk_that_the_container_makes_cannot_be_opened(oci, bundle):
    device = os.stat("/").st_dev
    numbers = str(os.major(device)), str(os.minor(device))
    shutil.rmtree(bundle.rootfs / "mnt")
    done = oci.run(bundle.args("probe", "mknod", "/disk", *numbers, "+", "open", "/disk"))
    assert done.facts["open"] == str(errno.EPERM), done
