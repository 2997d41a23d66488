"""The files that a configuration names, observed without opening what could block."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from nestbox.outer.bundle import observe_bundle
from nestbox.outer.bundle_facts import BundleAsks, BundleFacts, NamespaceFacts, Place, SourceFacts


def sources(*paths: Path | str) -> dict[str, SourceFacts]:
    return observe_bundle(BundleAsks(sources=tuple(map(str, paths)))).sources


def namespace(path: Path | str) -> NamespaceFacts:
    return observe_bundle(BundleAsks(namespaces=(str(path),))).namespaces[str(path)]


def test_the_kind_of_a_source(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        names = ("file", "link", "pipe", "socket", ".")
        found = sources(*(tmp_path / name for name in names))
    assert [one.kind for one in found.values()] == ["file", "file", "other", "socket", "directory"]
    assert not any(one.proc or one.error for one in found.values())


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    assert sources(tmp_path / "gone")[str(tmp_path / "gone")].error == "no such file or directory"
    assert sources("/a\0b")["/a\0b"].error == "its name has a NUL character"


def test_a_proc_is_told_from_what_lies_in_it() -> None:
    found = sources("/proc", "/proc/self")
    assert (found["/proc"].proc, found["/proc"].proc_root) == (True, True)
    assert (found["/proc/self"].proc, found["/proc/self"].proc_root) == (True, False)


def test_the_attributes_are_those_of_the_mount_that_a_source_lies_on() -> None:
    shown = os.statvfs("/proc").f_flag & os.ST_NOSUID
    assert ("nosuid" in sources("/proc")["/proc"].attributes) == bool(shown)


def test_our_own_namespaces_are_told_as_such() -> None:
    found = namespace("/proc/self/ns/net")
    assert (found.kind, found.own, found.error) == ("net", True, None)
    assert namespace("/proc/self/ns/pid_for_children").kind == "pid"


def test_a_user_namespace_is_told_with_its_maps() -> None:
    found = namespace("/proc/self/ns/user")
    assert found.uid_map
    assert found.gid_map
    text = Path("/proc/self/uid_map").read_text().split()
    assert found.uid_map[0].outside == int(text[1])


def test_a_user_namespace_that_denies_groups_is_told_as_such() -> None:
    held = ["unshare", "--user", "--map-root-user", "sh", "-c", "echo up; read _"]
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        found = namespace(f"/proc/{process.pid}/ns/user")
    assert found.setgroups_denied
    assert found.uid_map


def test_what_is_no_namespace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert namespace(tmp_path / "pipe") == NamespaceFacts()
    assert namespace(tmp_path) == NamespaceFacts()
    assert namespace(tmp_path / "gone").error == "no such file or directory"


def test_a_namespace_that_is_mounted_on_a_file_is_one_all_the_same() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from nestbox.outer.bundle import observe_bundle\n"
        "from nestbox.outer.bundle_facts import BundleAsks\n"
        "path = sys.argv[1]\n"
        "subprocess.run(['mount', '--bind', '/proc/self/ns/net', path], check=True)\n"
        "print(observe_bundle(BundleAsks(namespaces=(path,))).namespaces[path].kind)\n"
    )
    with tempfile.NamedTemporaryFile() as file:
        command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", code]
        done = subprocess.run(
            [*command, file.name], capture_output=True, text=True, check=False, timeout=20
        )
    assert done.stdout == "net\n", done.stderr


def test_devices_are_told_with_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    paths = ("/dev/null", str(tmp_path / "link"), str(tmp_path), str(tmp_path / "gone"), "/a\0b")
    found = observe_bundle(BundleAsks(devices=paths)).devices
    assert [*found] == ["/dev/null"]
    null = found["/dev/null"]
    assert (null.kind, null.major, null.minor) == ("c", 1, 3)


def test_whole_proc_mounts_outside_the_root(tmp_path: Path) -> None:
    assert "/proc" in observe_bundle(BundleAsks(kernel_mounts=str(tmp_path))).kernel_mounts
    assert observe_bundle(BundleAsks(kernel_mounts="/")).kernel_mounts == ()


def test_the_text_of_a_passwd_file(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("root:x:0:0::/r:/bin/sh\n")
    os.mkfifo(tmp_path / "pipe")

    def text(name: str) -> str | None:
        place = Place(directory=str(tmp_path), path=name)
        return observe_bundle(BundleAsks(passwd=place)).passwd

    assert text("users") == "root:x:0:0::/r:/bin/sh\n"
    assert text("gone") is None
    assert text("pipe") is None


def test_nothing_asked_is_nothing_observed() -> None:
    assert observe_bundle(BundleAsks()) == BundleFacts(kcore=Path("/proc/kcore").exists())
