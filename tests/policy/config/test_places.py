"""Paths of a configuration, and which of them are looked at before anything is decided."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.outer.bundle_facts import Place
from nestbox.policy.config.places import bundle_asks, inside, outside, target_of
from tests.policy.config.cases import OPTIONS, bind, namespaces, spec


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/a/b", "/a/b"),
        ("a", "/a"),
        ("", "/"),
        ("//a//b/", "/a/b"),
        ("/a/./b/..", "/a"),
        ("/../..", "/"),
        ("../x", "/x"),
    ],
)
def test_paths_inside_are_absolute_and_never_above_the_root(path: str, clean: str) -> None:
    assert inside(path) == clean


@pytest.mark.parametrize(
    ("destination", "target"),
    [("/data", "/data"), ("/srv/root/data", "/data"), ("/srv/root", "/srv/root"),
     ("/srv/rooted", "/srv/rooted")],
)  # fmt: skip
def test_a_destination_below_the_outer_root_is_inside_it(destination: str, target: str) -> None:
    assert target_of(destination, "/srv/root") == target
    assert target_of(destination, "/") == destination


def test_sources_below_the_root_are_not_looked_at() -> None:
    config = spec(mounts=[bind("/root/mnt", "/a"), bind("/src", "/b")])
    assert bundle_asks(config, OPTIONS, "/root").sources == ("/src",)


def test_paths_outside_are_meant_from_the_bundle() -> None:
    assert outside("a", OPTIONS) == "/bundle/a"
    assert outside("/a", OPTIONS) == "/a"


def tmpfs(target: str, *options: str) -> dict[str, object]:
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": [*options]}


def test_what_a_configuration_names_is_looked_at() -> None:
    config = spec(
        mounts=[bind("src", "/data"), tmpfs("/run")],
        linux__devices=[{"path": "/dev/./fuse", "type": "c", "major": 10, "minor": 229}],
        linux__namespaces=namespaces("mount", "uts", network="/run/netns/x"),
    )
    asks = bundle_asks(config, OPTIONS, "/root")
    assert asks.sources == ("/bundle/src",)
    assert asks.namespaces == ("/run/netns/x",)
    assert asks.devices == ("/dev/fuse",)
    assert asks.kernel_mounts is None
    assert asks.passwd is None


def test_what_a_root_that_is_moved_would_leave_in_reach_is_looked_for() -> None:
    options = msgspec.structs.replace(OPTIONS, no_pivot=True)
    assert bundle_asks(spec(), options, "/root").kernel_mounts == "/root"


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/etc/passwd", Place(directory="/run", path="users")),
        ("/etc", Place(directory="/run/users", path="/passwd")),
    ],
)
def test_a_passwd_file_that_a_mount_brings_is_read(target: str, place: Place) -> None:
    config = spec(mounts=[bind("/run/users", target)])
    assert bundle_asks(config, OPTIONS, "/root").passwd == place


def test_a_new_file_system_over_etc_has_no_passwd_file() -> None:
    assert bundle_asks(spec(mounts=[tmpfs("/etc")]), OPTIONS, "/root").passwd is None
