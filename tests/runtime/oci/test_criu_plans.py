"""What CRIU is told of mounts, namespaces and streams, and the files beside its images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nestbox.errors import LaunchError, UsageError
from nestbox.kernel.procfs import MountLine
from nestbox.oci.config import Config, Root
from nestbox.oci.linux import Linux, LinuxNamespace
from nestbox.oci.mounts import Mount
from nestbox.oci.process import Process
from nestbox.policy.launch_spec import DeviceSpec, MountSpec
from nestbox.runtime.oci.criu_images import image_directories, read_descriptors, write_descriptors
from nestbox.runtime.oci.criu_mounts import EMPTY, dump_pairs, resolved, restore_pairs
from nestbox.runtime.oci.criu_options import (
    dump_options,
    external_namespace,
    handed_namespaces,
    inherited_pipes,
    restore_options,
)
from nestbox.runtime.oci.requests import (
    CheckpointRequest,
    CreateRequest,
    CriuOptions,
    RestoreRequest,
    RunMode,
)
from tests.plan.launches import PLAIN


def config(*mounts: Mount, linux: Linux | None = None, **annotations: str) -> Config:
    return Config(
        process=Process(),
        root=Root(),
        mounts=mounts,
        linux=linux or Linux(),
        annotations={key.replace("_", "."): value for key, value in annotations.items()},
    )


def line(target: str, fstype: str, device: str, root: str = "/") -> MountLine:
    return MountLine(
        id=1,
        parent=1,
        device=device,
        root=root,
        target=target,
        options=(),
        propagation=(),
        fstype=fstype,
        source="none",
        super_options=(),
    )


def test_mounts_from_outside_are_named_by_their_place(tmp_path: Path) -> None:
    wanted = config(
        Mount(destination="/shm", type="bind", source="/dev/shm"),
        linux=Linux(masked_paths=("/proc/keys", "/proc/acpi", "/proc/other")),
    )
    mounts = (
        line("/", "ext4", "8:1", "/rootfs"),
        line("/proc", "proc", "0:5"),
        line("/proc/sys", "proc", "0:5", "/sys"),  # a bind of what is there as a whole
        line("/proc/keys", "devtmpfs", "0:6", "/null"),
        line("/proc/acpi", "tmpfs", "0:7", "/empty"),
        line("/proc/other", "tmpfs", "0:8"),  # covered in the way of other runtimes
        line("/dev", "tmpfs", "0:9"),
        line("/dev/null", "devtmpfs", "0:6", "/null"),
        line("/shm", "tmpfs", "0:10"),  # whole, and the host's all the same
        line("/data", "ext4", "8:1", "/data"),
        line("/data/below", "xfs", "8:2"),
        line("/sys/fs/cgroup/cpu", "cgroup", "0:11", "/ctr"),
    )
    assert dump_pairs(wanted, mounts, str(tmp_path)) == (
        ("/proc/keys", "/dev/null"),
        ("/proc/acpi", EMPTY),
        ("/dev/null", "/dev/null"),
        ("/shm", "/shm"),
        ("/data", "/data"),
        ("/data/below", "/data/below"),
        ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu"),
    )


def test_cgroups_of_an_own_namespace_are_mounted_anew(tmp_path: Path) -> None:
    own = config(linux=Linux(namespaces=(LinuxNamespace(type="cgroup"),)))
    mounts = (line("/sys/fs/cgroup", "cgroup2", "0:11", "/ctr"),)
    assert dump_pairs(own, mounts, str(tmp_path)) == ()


def test_names_get_what_is_to_be_mounted_now(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/real")
    launch = msgspec.structs.replace(
        PLAIN,
        mounts=(
            MountSpec(fstype="tmpfs", source="tmpfs", target="/dev"),
            MountSpec(fstype="bind", source="/srv/tree", target="/link", recursive=True),
            MountSpec(fstype="bind", source="/srv/file", target="/file"),
        ),
        devices=(
            DeviceSpec(target="/dev/null", source="/dev/null", kind="c", major=1, minor=3),
            DeviceSpec(target="/dev/fuse", source=None, kind="c", major=10, minor=229),
            DeviceSpec(target="/dev/x", source="/dev/zero", kind="c", major=1, minor=5),
        ),
    )
    outer = (
        line("/srv", "ext4", "8:1"),
        line("/srv/tree", "ext4", "8:2"),
        line("/srv/tree/sub", "xfs", "8:3"),
        line("/srv/treehouse", "xfs", "8:4"),
    )
    assert restore_pairs(launch, outer, str(tmp_path), "/empty") == (
        ("/dev/null", "/dev/null"),
        (EMPTY, "/empty"),
        ("/run/notify", "/empty"),
        ("/dev/x", "/dev/zero"),
        ("/real", "/srv/tree"),
        ("/real/sub", "/srv/tree/sub"),
        ("/file", "/srv/file"),
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/plain/file", "/plain/file"),
        ("/link/file", "/real/file"),
        ("/relative/file", "/real/file"),
        ("/up/file", "/file"),
        ("/loop", "/loop"),
        ("/a/../../b/./c//d", "/b/c/d"),
        ("/", "/"),
    ],
)
def test_links_do_not_lead_out_of_the_root(tmp_path: Path, path: str, expected: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("/real")
    (tmp_path / "relative").symlink_to("real")
    (tmp_path / "up").symlink_to("../../../..")
    (tmp_path / "loop").symlink_to("loop")
    assert resolved(str(tmp_path), path) == expected


def checkpoint(**members: Any) -> CheckpointRequest:
    criu = CriuOptions(image_path="/images", **members.pop("criu", {}))
    return CheckpointRequest(id="ctr", criu=criu, **members)


def test_a_checkpoint_hands_all_options_on() -> None:
    request = checkpoint(
        leave_running=True,
        page_server=("::1", 27),
        criu={"parent_path": "../before", "manage_cgroups_mode": "full", "shell_job": True},
    )
    options = dump_options(request, config(), pid=7, root="/root", freezer="/freezer/ctr")
    assert options["ps"] == {"address": "::1", "port": 27}
    assert (options["parent_img"], options["track_mem"]) == ("../before", True)
    assert (options["manage_cgroups_mode"], options["leave_running"]) == (4, True)
    assert (options["pid"], options["freeze_cgroup"]) == (7, "/freezer/ctr")
    assert options["shell_job"]
    assert not options["tcp_established"]


@pytest.mark.parametrize(
    ("annotations", "file"),
    [
        ({}, "/etc/criu/runc.conf"),
        ({"org_criu_config": "/mine"}, "/mine"),
        ({"org_criu_config": ""}, None),
    ],
)
def test_an_annotation_names_the_configuration_of_criu(
    annotations: dict[str, str], file: str | None
) -> None:
    options = dump_options(checkpoint(), config(**annotations), pid=1, root="/", freezer=None)
    assert options["config_file"] == file


def restore(**members: Any) -> RestoreRequest:
    return RestoreRequest(
        create=CreateRequest(id="ctr", bundle="/bundle"),
        mode=RunMode(),
        criu=CriuOptions(image_path="/images"),
        **members,
    )


def namespaces(**paths: str) -> Config:
    rows = tuple(LinuxNamespace(type=kind, path=path) for kind, path in paths.items())
    return config(linux=Linux(namespaces=rows))


def test_namespaces_by_path_are_joined() -> None:
    joining = namespaces(network="/n", pid="/p", uts="/u", ipc="/i", mount="")
    options = restore_options(restore(lsm_profile="apparmor:x"), joining, root="/root")
    assert options["join_ns"] == ({"ns": "uts", "ns_file": "/u"}, {"ns": "ipc", "ns_file": "/i"})
    assert options["lsm_profile"] == "apparmor:x"
    handed = handed_namespaces(joining)
    assert handed == {"extRootNetNS": "/n", "extRootPidNS": "/p"}
    assert external_namespace("extRootNetNS", 12) == "net[12]:extRootNetNS"


def test_a_namespace_that_criu_cannot_join_is_refused() -> None:
    with pytest.raises(LaunchError, match="cannot restore into the cgroup namespace"):
        restore_options(restore(), namespaces(cgroup="/c"), root="/root")


def test_streams_take_the_place_of_pipes_alone() -> None:
    assert inherited_pipes(["pipe:[1]", "/dev/null", "pipe:[3]"]) == (
        {"key": "pipe:[1]", "fd": 0},
        {"key": "pipe:[3]", "fd": 2},
    )


def test_streams_are_kept_beside_the_images(tmp_path: Path) -> None:
    write_descriptors(str(tmp_path), os.getpid())
    names = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
    assert read_descriptors(str(tmp_path)) == names
    assert (tmp_path / "descriptors.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "descriptors.json").write_text("7")
    with pytest.raises(LaunchError, match=r"descriptors\.json"):
        read_descriptors(str(tmp_path))


def test_directories_are_made_and_closed(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    criu = CriuOptions(image_path=str(tmp_path / "a/b"), work_path=str(tmp_path / "w"))
    with image_directories(criu) as directories:
        assert directories.log == str(tmp_path / "w")
        paths = [os.readlink(f"/proc/self/fd/{fd}") for fd in directories.members.values()]
        assert paths == [str(tmp_path / "a/b"), str(tmp_path / "w")]
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("parent", ["/absolute", "../nothing"])
def test_a_parent_has_to_be_found_from_the_images(tmp_path: Path, parent: str) -> None:
    criu = CriuOptions(image_path=str(tmp_path / "images"), parent_path=parent)
    with pytest.raises(UsageError, match="parent-path"), image_directories(criu):
        pass
