"""A root that is made of copies: what is copied, and what is left out."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import msgspec
import pytest

from nestbox.plan import steps as s
from nestbox.policy.launch_spec import CopySpec, LaunchSpec, MountSpec, RootSpec
from tests.executor.boxes import DEV, PROC, box, make_root, plan_of, run
from tests.executor.talk import talking

pytestmark = pytest.mark.root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory outside that is copied to /data."""
    (tmp_path / "place/inner").mkdir(parents=True)
    return tmp_path / "place"


def copied(root: Path, place: Path, script: str, **how: object) -> LaunchSpec:
    """Return a launch on a tmpfs that the programs of a root and a place are copied to."""
    lenient = bool(how.pop("lenient", False))
    spec = RootSpec(
        directory=str(root),
        base="tmpfs",
        nodev=False,
        lenient=lenient,
        copies=(
            CopySpec(source=str(root), target="/"),
            CopySpec(source=str(place), target="/data", **how),
        ),
    )
    return msgspec.structs.replace(box(root, script, mounts=(PROC, DEV)), root=spec)


def failure(launch: LaunchSpec) -> tuple[s.Step, int]:
    """Return the step that fails, and its errno."""
    plan = plan_of(launch)
    with talking(plan) as (talk, _):
        talk.go_on()
        failed = talk.failure()
        assert failed is not None
        return plan.steps[failed.step], failed.errno


def test_a_copy_is_like_what_was_copied(root: Path, place: Path) -> None:
    (place / "inner/file").write_text("content")
    os.chown(place / "inner/file", 12, 34)
    (place / "inner/file").chmod(0o4751)
    (place / "inner").chmod(0o1777)
    (place / "link").symlink_to("/no/where")
    place.chmod(0o2711)
    os.utime(place / "inner/file", (0, 1000))
    script = (
        "cat /data/inner/file; echo; readlink /data/link; touch /data/new;"
        " stat -c '%a %u:%g' /data /data/inner /data/inner/file; stat -c %Y /data/inner/file"
    )
    code, text = run(copied(root, place, script))
    assert code == 0
    assert text.splitlines() == [
        "content", "/no/where", "2711 0:0", "1777 0:0", "4751 12:34", "1000",
    ]  # fmt: skip
    assert not (place / "new").exists()


def test_a_shallow_copy_has_the_files_and_the_names_of_directories(root: Path, place: Path) -> None:
    (place / "file").write_text("content")
    (place / "inner/file").write_text("content")
    (place / "inner").chmod(0o700)
    script = "ls /data /data/inner; stat -c %a /data/inner"
    assert run(copied(root, place, script, shallow=True)) == (
        0,
        "/data:\nfile\ninner\n\n/data/inner:\n700\n",
    )


def test_files_above_the_limit_and_what_holds_no_data_are_left_out(root: Path, place: Path) -> None:
    (place / "small").write_text("1234")
    (place / "large").write_text("12345")
    os.mkfifo(place / "fifo")
    os.mknod(place / "node", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    assert run(copied(root, place, "ls /data", limit=4)) == (0, "inner\nsmall\n")


def test_a_plain_copy_gives_nobody_more_than_his_own(root: Path, place: Path) -> None:
    (place / "file").write_text("x")
    (place / "file").chmod(0o6755)
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(place / "file", "security.capability", value)
    run(copied(root, place, "true"))
    assert run(copied(root, place, "stat -c %a /data/file", plain=True)) == (0, "755\n")
    assert run(copied(root, place, "stat -c %a /data/file")) == (0, "6755\n")


def test_what_cannot_be_given_to_its_owner_gives_nobody_the_rights_of_ours(
    root: Path, place: Path
) -> None:
    """A program of somebody without an id in the container must not become one of its root."""
    (place / "file").write_text("x")
    os.chown(place / "file", 65534, 65534)
    (place / "file").chmod(0o6755)
    script = "stat -c '%a %u:%g' /data/file"
    assert run(copied(root, place, script, lenient=True)) == (0, "755 0:0\n")
    os.chown(place / "file", 0, 65534)
    (place / "file").chmod(0o6755)
    assert run(copied(root, place, script, lenient=True)) == (0, "4755 0:0\n")


def test_a_path_that_became_a_link_is_not_followed(root: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").symlink_to("/etc")
    step, number = failure(copied(root, tmp_path / "moved", "true"))
    assert (type(step), number) == (s.CopyTree, errno.ELOOP)


def test_what_is_bound_beside_the_copies_is_not_behind_a_link(
    root: Path, place: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").symlink_to("/etc")
    for source in (tmp_path / "moved", tmp_path / "moved/default"):
        launch = copied(root, place, "true")
        bind = MountSpec(fstype="bind", source=str(source), target="/bound", attributes=("ro",))
        spec = msgspec.structs.replace(launch.root, binds=(bind,), copies=launch.root.copies[:1])
        step, number = failure(msgspec.structs.replace(launch, root=spec))
        assert (type(step), number) == (s.OpenTree, errno.ELOOP)


def test_what_is_gone_by_now_is_no_failure(root: Path, place: Path, tmp_path: Path) -> None:
    assert run(copied(root, tmp_path / "gone", "ls -A /data")) == (0, "")


def test_what_is_bound_beside_the_copies_can_only_be_read(root: Path, place: Path) -> None:
    launch = copied(root, place, "ls /bound; touch /bound/x 2>/dev/null || echo read-only")
    bind = MountSpec(fstype="bind", source=str(place), target="/bound", attributes=("ro",))
    spec = msgspec.structs.replace(launch.root, binds=(bind,), copies=launch.root.copies[:1])
    assert run(msgspec.structs.replace(launch, root=spec)) == (0, "inner\nread-only\n")
