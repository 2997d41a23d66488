"""What the targets of mounts are."""

from __future__ import annotations

import socket
from pathlib import Path

from nestbox.outer.facts import Mount
from nestbox.outer.mount_kinds import with_kinds


def mount(target: Path | str, fstype: str = "ext4") -> Mount:
    return Mount(
        id=2,
        parent=1,
        device="0:1",
        root="/",
        target=str(target),
        options=("rw",),
        propagation=(),
        fstype=fstype,
        source="x",
        super_options=("rw",),
    )


def test_a_target_is_a_directory_a_file_a_socket_or_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        targets = (tmp_path, tmp_path / "file", tmp_path / "socket", "/dev/null")
        kinds = [one.kind for one in with_kinds(tuple(mount(target) for target in targets))]
    assert kinds == ["directory", "file", "socket", "other"]


def test_what_cannot_be_reached_is_not_guessed(tmp_path: Path) -> None:
    assert with_kinds((mount(tmp_path / "gone"),))[0].kind is None


def test_servers_are_not_asked(tmp_path: Path) -> None:
    assert with_kinds((mount(tmp_path, "nfs4"),))[0].kind is None
