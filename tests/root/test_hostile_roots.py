"""Roots full of links that lead outside, also while somebody swaps them: CVE-2021-30465 and others.

Whatever the root is, nothing outside of it is made, changed or covered; that the launch is refused
is as good as that it stays inside.
"""

from __future__ import annotations

import os

import pytest

from tests.root.driver import Done
from tests.root.hostile import WAYS, links_to, plant

pytestmark = pytest.mark.usefixtures("nothing_left")

# Where nestbox itself mounts something, or writes a file.
OWN_TARGETS = ("proc", "dev", "sys", "etc", "tmp")
LAUNCHES = 25


def contained(done: Done) -> None:
    """Hold that a launch succeeded or was refused in nestbox's own words."""
    assert done.exit_code in {0, 125}, done
    assert "Traceback" not in done.stderr
    if done.exit_code == 125:
        assert done.stderr.startswith("nestbox: ")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OWN_TARGETS)
def test_a_link_in_the_place_of_a_default_mount_leads_nowhere(nestbox, root, outside, name, way):
    plant(root, links_to(outside, name)[way])
    contained(nestbox.run("--rootfs", str(root), "--", "true"))


@pytest.mark.parametrize("flags", [("-t",), ("--privileged",), ("--network", "none", "--init")])
def test_all_default_targets_at_once_as_links(nestbox, root, outside, flags):
    for name in OWN_TARGETS:
        plant(root, links_to(outside, name)["relative"])
    contained(nestbox.run(*flags, "--rootfs", str(root), "--", "true"))


@pytest.mark.parametrize("name", ["etc/hosts", "etc/hostname", "etc/resolv.conf"])
@pytest.mark.parametrize("target", ["{outside}/etc/hosts", "{outside}/new", "/proc/self/environ"])
def test_files_that_nestbox_covers_lead_nowhere(nestbox, root, outside, name, target):
    (root / name).unlink(missing_ok=True)
    (root / name).symlink_to(target.format(outside=outside))
    contained(nestbox.run("--network", "none", "--rootfs", str(root), "--", "true"))
    contained(nestbox.run("--network", "host", "--rootfs", str(root), "--", "true"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("target", ["/data", "/data/below/it"])
def test_a_link_on_the_way_of_a_volume_stays_inside(nestbox, root, outside, tmp_path, way, target):
    plant(root, links_to(outside, "data")[way])
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "mark").touch()
    contained(nestbox.run("-v", f"{volume}:{target}", "--rootfs", str(root), "--", "true"))
    assert [x.name for x in volume.iterdir()] == ["mark"]


def test_a_volume_behind_an_absolute_link_is_mounted_inside_the_root(
    nestbox, root, outside, tmp_path
):
    plant(root, [("data", f"{outside}/data")])
    (root / str(outside)[1:] / "data").mkdir(parents=True)
    (tmp_path / "mark").touch()
    done = nestbox.run(
        *("-v", f"{tmp_path}/mark:/data/mark", "--rootfs", str(root)),
        *("--", "ls", f"{outside}/data"),
    )
    assert done.stdout == "mark\n", done.stderr


def test_a_volume_that_leads_to_proc_is_refused(nestbox, root, tmp_path):
    plant(root, [("data", "/proc/sys")])
    done = nestbox.run("-v", f"{tmp_path}:/data/kernel", "--rootfs", str(root), "--", "true")
    assert done.exit_code == 125
    assert "/data/kernel" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_link_as_working_directory_or_tmpfs_stays_inside(nestbox, root, outside, way):
    plant(root, links_to(outside, "data")[way])
    contained(nestbox.run("-w", "/data/new", "--rootfs", str(root), "--", "true"))
    contained(nestbox.run("--tmpfs", "/data/new", "--rootfs", str(root), "--", "true"))


def test_links_in_a_volume_stay_inside_for_the_next_volume(nestbox, root, outside, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "next").symlink_to(outside / "data")
    (tmp_path / "file").touch()
    words = ("-v", f"{volume}:/volume", "-v", f"{tmp_path}/file:/volume/next/file")
    contained(nestbox.run(*words, "--rootfs", str(root), "--", "true"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["proc", "dev", "sys", "etc", "data"])
def test_a_directory_that_turns_into_a_link_during_launches_leads_nowhere(
    nestbox, root, outside, tmp_path, swapping, name
):
    (root / "data").mkdir()
    (root / "aside").symlink_to(outside / name)
    volume = tmp_path / "volume"
    volume.mkdir()
    swapping(root / name, root / "aside")
    words = ("-v", f"{volume}:/data/made/here", "-w", "/data/work", "--rootfs", str(root))
    done = [nestbox.run(*words, "--", "true") for _ in range(LAUNCHES)]
    for one in done:
        contained(one)
    assert os.listdir(volume) == []
