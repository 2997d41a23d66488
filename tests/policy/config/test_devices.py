"""What is made below /dev: the nodes that every container has, and those that are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from nestbox.outer.facts import OuterEnvironment
from nestbox.policy.decision import Outcome
from nestbox.policy.launch_spec import DeviceSpec, LaunchSpec
from tests.policy.config.cases import bind, decide, launch, mounts, spec, with_user
from tests.policy.surroundings import ALL, change, full_root, rights, without

DEFAULT = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"]
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o660}


def without_mknod() -> OuterEnvironment:
    return change(full_root(), capabilities=rights(without(ALL, "CAP_MKNOD")))


def node(found: LaunchSpec, path: str) -> DeviceSpec:
    (device,) = (one for one in found.devices if one.target == path)
    return device


def test_every_container_has_the_default_nodes_and_links() -> None:
    found = launch(spec())
    assert [one.target for one in found.devices] == DEFAULT
    assert all((one.source, one.mode) == (None, 0o666) for one in found.devices)
    assert dict(found.device_links) == {
        "/dev/fd": "/proc/self/fd",
        "/dev/stdin": "/proc/self/fd/0",
        "/dev/stdout": "/proc/self/fd/1",
        "/dev/stderr": "/proc/self/fd/2",
        "/dev/core": "/proc/kcore",
        "/dev/ptmx": "pts/ptmx",
    }


def test_the_link_to_the_core_is_there_only_with_what_it_leads_to() -> None:
    assert "/dev/core" not in dict(launch(spec(), kcore=False).device_links)


def test_a_node_of_the_configuration_has_its_mode_and_owner() -> None:
    found = launch(spec(linux__devices=[{**FUSE, "fileMode": 0o20640, "uid": 5, "gid": 6}]))
    assert node(found, "/dev/fuse") == DeviceSpec(
        target="/dev/fuse",
        source=None,
        kind="c",
        major=10,
        minor=229,
        mode=0o640,
        uid=5,
        gid=6,
    )


def test_a_node_of_the_configuration_takes_the_place_of_a_default_one() -> None:
    asked = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}
    found = launch(spec(linux__devices=[asked]))
    assert node(found, "/dev/null").mode == 0o600
    assert len(found.devices) == len(DEFAULT)


def test_the_first_of_two_counts_and_ptmx_is_that_of_devpts() -> None:
    ptmx = {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}
    found = launch(spec(linux__devices=[FUSE, {**FUSE, "fileMode": 0o600}, ptmx]))
    assert node(found, "/dev/fuse").mode == 0o660
    assert not any(one.target == "/dev/ptmx" for one in found.devices)


@pytest.mark.parametrize(("kind", "made"), [("u", "c"), ("c", "c"), ("b", "b"), ("p", "p")])
def test_every_kind_of_node_is_made(kind: str, made: str) -> None:
    asked = {"path": "/dev/x", "type": kind, "major": 7, "minor": 1}
    found = node(launch(spec(linux__devices=[asked])), "/dev/x")
    assert (found.kind, found.source) == (made, None)


def test_a_dev_from_outside_is_left_as_it_is() -> None:
    found = launch(spec(mounts=[bind("/dev", "/dev/", "rbind")], linux__devices=[FUSE]))
    assert found.devices == found.device_links == ()


def test_in_a_user_namespace_nodes_are_bound_and_fifos_made() -> None:
    fifo = {"path": "/dev/log", "type": "p"}
    resolution = decide(with_user(linux__devices=[FUSE, fifo]))
    assert resolution.launch is not None
    assert node(resolution.launch, "/dev/null").source == "/dev/null"
    assert node(resolution.launch, "/dev/fuse").source == "/dev/fuse"
    assert node(resolution.launch, "/dev/log").source is None
    assert resolution.warnings == ()


def test_without_mknod_the_outer_node_is_bound_and_what_differs_is_told() -> None:
    resolution = decide(spec(linux__devices=[FUSE]), without_mknod())
    assert resolution.launch is not None
    assert node(resolution.launch, "/dev/fuse").source == "/dev/fuse"
    assert resolution.weakened == ()
    other = decide(spec(linux__devices=[{**FUSE, "fileMode": 0o666}]), without_mknod())
    (weakened,) = other.weakened
    assert weakened.subject == "device /dev/fuse"
    assert "CAP_MKNOD" in other.warnings[0]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"path": "/dev/nosuch"}, "there is no outer /dev/nosuch"),
        ({"minor": 228}, "the outer one is c 10:229"),
        ({"type": "b"}, "the outer one is c 10:229"),
    ],
)
def test_without_mknod_another_device_is_no_substitute(changes: Any, cause: str) -> None:
    resolution = decide(spec(linux__devices=[{**FUSE, **changes}]), without_mknod())
    assert resolution.launch is None
    (refused,) = resolution.refused
    assert refused.outcome is Outcome.REFUSED
    assert "CAP_MKNOD" in refused.cause
    assert cause in refused.cause
    assert "CAP_MKNOD" in refused.remedy


def test_a_volume_on_a_node_is_mounted_all_the_same() -> None:
    found = launch(spec(mounts=mounts(bind("/dev/null", "/dev/fuse")), linux__devices=[FUSE]))
    assert found.mounts[-1].target == "/dev/fuse"
