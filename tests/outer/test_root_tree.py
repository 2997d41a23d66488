"""What is listed and counted of a root that is made of parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nestbox.outer.root_tree import CountLimit, measure, observe_tree

LIMIT = CountLimit(size=10_000, entries=50)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("etc", "usr/bin", "usr/share", "proc", "srv"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/passwd").write_bytes(b"x" * 100)
    (tmp_path / "usr/bin/large").write_bytes(b"x" * 20_000)
    (tmp_path / "usr/share/small").write_bytes(b"x" * 200)
    (tmp_path / "proc/large").write_bytes(b"x" * 20_000)
    (tmp_path / "bin").symlink_to("usr/bin")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def listed(root: Path, *paths: str, measured: tuple[str, ...] = ()) -> dict[str, dict[str, object]]:
    found = observe_tree(str(root), paths, measured, LIMIT, left_out=("/proc",))
    return {
        one.path: {entry.name: (entry.kind, entry.size) for entry in one.entries or ()}
        for one in found
    }


def test_the_directories_above_are_among_them_outer_ones_first(tree: Path) -> None:
    found = observe_tree(str(tree), ("/usr/bin",), (), LIMIT)
    assert [one.path for one in found] == ["/", "/usr", "/usr/bin"]


def test_each_entry_is_what_it_is_and_no_link_is_followed(tree: Path) -> None:
    found = listed(tree, "/")["/"]
    assert found["bin"] == ("link", None)
    assert found["pipe"] == ("other", None)
    assert found["usr"] == ("directory", None)
    assert listed(tree, "/etc")["/etc"]["passwd"] == ("file", 100)


def test_what_is_too_large_is_listed_itself_unless_it_is_left_out(tree: Path) -> None:
    found = listed(tree, measured=("/",))
    assert set(found) == {"/", "/usr"}
    assert found["/"]["usr"] == ("directory", None)
    kind, size = found["/"]["etc"]
    assert kind == "directory"
    assert 100 <= size < 10_000
    assert found["/usr"]["bin"] == ("directory", None)


def test_a_path_that_is_no_directory_is_passed_over(tree: Path) -> None:
    assert set(listed(tree, "/gone", "/bin", "/pipe")) <= {"/"}


def test_a_directory_that_cannot_be_read_has_no_entries(tree: Path) -> None:
    (tree / "loop").symlink_to("loop")
    assert set(listed(tree, "/loop")) <= {"/"}


def test_counting_ends_at_the_limit(tree: Path) -> None:
    assert measure(str(tree / "usr/bin"), LIMIT) is None
    for number in range(60):
        (tree / f"srv/{number}").touch()
    assert measure(str(tree / "srv"), LIMIT) is None


def test_holes_take_no_space(tree: Path) -> None:
    with (tree / "srv/holes").open("wb") as sparse:
        sparse.truncate(1 << 40)
    size = measure(str(tree / "srv"), LIMIT)
    assert size is not None
    assert size < 10_000


def test_a_directory_that_is_gone_has_no_size(tree: Path) -> None:
    assert measure(str(tree / "gone"), LIMIT) is None


def test_a_directory_behind_a_link_is_none_of_the_root(tree: Path) -> None:
    """With /var a link to /, what is in /var/tmp of a root would be that of the machine's /tmp."""
    (tree / "var").symlink_to("/")
    assert listed(tree, "/var/tmp", measured=("/var/tmp",)) == {}
