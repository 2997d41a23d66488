"""Where state is kept, and the directories of engines that are remembered."""

from __future__ import annotations

from pathlib import Path

from nestbox.runtime.roots import default_root, foreign_owner, known_roots, remember_root


def test_root_keeps_it_where_a_reboot_removes_it() -> None:
    assert default_root({}, 0) == "/run/nestbox"
    assert default_root({"XDG_RUNTIME_DIR": "/run/user/0", "USER": "root"}, 0) == "/run/nestbox"


def test_other_users_keep_it_in_their_own_directory() -> None:
    assert default_root({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == "/run/user/7/nestbox"
    assert default_root({}, 7) == "/tmp/nestbox-7"


def test_a_variable_goes_first() -> None:
    assert default_root({"NESTBOX_ROOT": "/a/../b", "XDG_RUNTIME_DIR": "/c"}, 7) == "/b"


def test_our_own_directory_and_none_at_all_are_nobody_elses(tmp_path: Path) -> None:
    assert foreign_owner(str(tmp_path)) is None
    assert foreign_owner(str(tmp_path / "gone")) is None


def test_the_default_root_is_not_remembered(tmp_path: Path) -> None:
    default = str(tmp_path / "default")
    remember_root(default, default)
    assert known_roots(default) == [default]
    assert not Path(default).exists()


def test_roots_are_remembered_once_each(tmp_path: Path) -> None:
    default = str(tmp_path / "default")
    roots = [tmp_path / "b" / "moby", tmp_path / "a%2Fb", tmp_path / "a" / "b"]
    for root in roots * 2:
        root.mkdir(parents=True, exist_ok=True)
        remember_root(str(root), default)
    assert known_roots(default) == [default, *sorted(map(str, roots))]


def test_a_root_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    default, root = tmp_path / "default", tmp_path / "gone"
    root.mkdir()
    remember_root(str(root), str(default))
    root.rmdir()
    assert known_roots(str(default)) == [str(default)]
    assert list((default / "@roots").iterdir()) == []


def test_long_paths_are_remembered_too(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 200) / ("y" * 200)
    root.mkdir(parents=True)
    remember_root(str(root), str(tmp_path / "default"))
    assert str(root) in known_roots(str(tmp_path / "default"))


def test_a_place_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember_root("/somewhere", str(tmp_path / "file" / "default"))
