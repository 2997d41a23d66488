"""The root that CRIU restores into: mounts that nobody else sees, mount points where they lack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestbox.errors import LaunchError
from nestbox.policy.launch_spec import MountSpec
from nestbox.runtime.oci.restore_root import mount_root, private_mounts, remove_root

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount"),
]


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    (path / "file").touch()
    return path


@pytest.fixture(name="container")
def _container(tmp_path: Path) -> Path:
    path = tmp_path / "container"
    path.mkdir()
    return path


def bind(source: Path, target: str) -> MountSpec:
    return MountSpec(fstype="bind", source=str(source), target=target)


def new(fstype: str, target: str) -> MountSpec:
    return MountSpec(fstype=fstype, source=fstype, target=target)


def test_the_mounts_are_ours_alone(container: Path, root: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    here, open_before = os.getcwd(), os.listdir("/proc/self/fd")
    with private_mounts():
        place = mount_root(str(container), str(root), ())
        assert os.path.exists(f"{place.root}/file")
        assert os.path.ismount(place.root)
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir(f"{place.empty}/anything")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert os.getcwd() == here
    assert len(os.listdir("/proc/self/fd")) == len(open_before)
    assert os.listdir(container / "criu-root") == []
    remove_root(str(container))
    remove_root(str(container))
    assert os.listdir(container) == []


def test_an_error_inside_leads_back_as_well(container: Path, root: Path) -> None:
    before = os.readlink("/proc/self/ns/mnt")
    with pytest.raises(LaunchError, match="cannot mount"), private_mounts():
        mount_root(str(container), str(root / "nothing"), ())
    assert os.readlink("/proc/self/ns/mnt") == before


def test_mount_points_are_made_where_they_lack(container: Path, root: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "there").mkdir(parents=True)
    (root / "link").symlink_to("/real")
    (root / "real").mkdir()
    mounts = (
        new("proc", "/proc"),
        new("tmpfs", "/dev"),
        new("devpts", "/dev/pts"),
        bind(outer, "/link/outer"),
        bind(root / "file", "/link/outer/a/file"),
        bind(outer, "/link/outer/a/directory"),
        MountSpec(fstype="remount", source="", target="/nowhere"),
        MountSpec(fstype="link", source="x", target="/nothing"),
    )
    with private_mounts():
        mount_root(str(container), str(root), mounts)
    assert sorted(os.listdir(root)) == ["dev", "file", "link", "proc", "real"]
    assert os.listdir(root / "dev") == []
    assert os.listdir(root / "real/outer") == []  # what is below it was made in the bind
    assert (outer / "a/file").is_file()
    assert (outer / "a/directory").is_dir()


def test_no_mount_point_is_made_outside(container: Path, root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path)
    (root / "up").symlink_to("../..")
    with private_mounts():
        mount_root(str(container), str(root), (new("tmpfs", "/up/up"), new("tmpfs", "/../dots")))
        with pytest.raises(LaunchError, match="cannot make a mount point at '/out/escaped'"):
            mount_again(container, root, new("tmpfs", "/out/escaped"))
    assert not (tmp_path / "escaped").exists()
    assert (root / "dots").is_dir()
    assert not (tmp_path / "dots").exists()


def mount_again(container: Path, root: Path, mount: MountSpec) -> None:
    """Once more in the same namespace, for another container."""
    other = container / "other"
    other.mkdir()
    mount_root(str(other), str(root), (mount,))
