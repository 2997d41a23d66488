"""The root: which rung of the overlay, and what of the present mounts comes along."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import UsageError
from nestbox.outer.facts import Mount, OuterEnvironment, Trial
from nestbox.policy.decision import Outcome
from nestbox.policy.host_mounts import take_over
from nestbox.policy.request import RootKind, RootMode, RootRequest
from nestbox.policy.root import RootChoice, decide_root
from nestbox.policy.root_place import Separation
from nestbox.policy.shipped_profiles import load_shipped
from tests.policy.surroundings import (
    HOST,
    PRESENT_ROOT,
    ROOT,
    ask,
    change,
    full_root,
    mount,
    privileged_docker,
)

FAILS = Trial(error="EINVAL")


def directory(mode: RootMode = RootMode.DIRECT, path: str = "/srv/root") -> RootRequest:
    return RootRequest(kind=RootKind.DIRECTORY, directory=path, mode=mode)


def choose(
    root: RootRequest,
    environment: OuterEnvironment | None = None,
    profile: str = "default",
    **fields: Any,
) -> RootChoice:
    chosen = load_shipped(profile)
    assert chosen is not None
    user = fields.pop("new_user_namespace", False)
    return decide_root(
        ask(root=root, **fields),
        chosen,
        environment or full_root(),
        PRESENT_ROOT if root.kind is RootKind.HOST else ROOT,
        Separation(new_user_namespace=user),
    )


def storage(**trials: Trial) -> OuterEnvironment:
    return change(full_root(), storage=msgspec.structs.replace(full_root().storage, **trials))


def test_a_directory_is_used_as_it_is() -> None:
    spec = choose(directory()).spec
    assert (spec.directory, spec.layers, spec.readonly, spec.nodev) == (
        "/srv/root",
        (),
        False,
        True,
    )


def test_a_directory_read_only_by_mode_or_flag() -> None:
    assert choose(directory(RootMode.READ_ONLY)).spec.readonly
    assert choose(directory(), read_only=True).spec.readonly


def test_a_profile_with_a_read_only_root_brings_a_tmp() -> None:
    choice = choose(directory(), profile="minimal")
    assert choice.spec.readonly
    assert [one.target for one in choice.mounts] == ["/tmp"]
    assert choose(directory(RootMode.READ_ONLY)).mounts == ()


def test_an_overlay_by_name_can_be_written_under_a_read_only_profile() -> None:
    assert not choose(directory(RootMode.OVERLAY), profile="minimal").spec.readonly
    assert not choose(HOST, profile="minimal").spec.readonly
    assert choose(HOST, profile="minimal", read_only=True).spec.readonly


@pytest.mark.parametrize("mode", list(RootMode))
def test_a_directory_that_is_the_present_root_is_a_usage_error(mode: RootMode) -> None:
    profile = load_shipped("default")
    assert profile is not None
    with pytest.raises(UsageError) as caught:
        decide_root(
            ask(root=directory(mode, "/srv/link")),
            profile,
            full_root(),
            PRESENT_ROOT,
            Separation(),
        )
    assert "/srv/link" in caught.value.what
    assert "--rootfs host" in caught.value.remedy


def test_the_upper_layer_is_in_the_state_directory_where_that_works() -> None:
    spec = choose(HOST).spec
    assert spec.upper == "/run/nestbox"
    assert (spec.layers[0].lower, spec.layers[0].target) == ("/", "/")


def test_else_on_a_tmpfs_and_the_record_says_why() -> None:
    choice = choose(HOST, storage(overlay=FAILS))
    assert choice.spec.upper is None
    assert choice.decisions[0].outcome is Outcome.GRANTED
    assert "EINVAL" in choice.decisions[0].cause


def test_in_a_user_namespace_the_trial_there_decides() -> None:
    spec = choose(HOST, storage(overlay=FAILS), new_user_namespace=True).spec
    assert spec.user_namespace_options
    assert spec.upper is None
    assert choose(HOST, storage(overlay_user=FAILS), new_user_namespace=True).spec.base == "tmpfs"
    never = storage(overlay_user=Trial(error="EPERM"))
    refused = choose(directory(RootMode.OVERLAY), never, new_user_namespace=True).decisions[0]
    assert refused.outcome is Outcome.REFUSED
    assert "EPERM" in refused.cause


def test_a_directory_without_mounts_below_has_none_that_are_locked() -> None:
    environment = storage(overlay_user=FAILS)
    choice = choose(directory(RootMode.OVERLAY), environment, new_user_namespace=True)
    assert (choice.spec.base, choice.spec.layers[0].lower) == ("", "/srv/root")
    below = (mount(1, 0, "/", "ext4"), mount(2, 1, "/srv/root/x", "ext4"))
    locked = choose(
        directory(RootMode.OVERLAY), change(environment, mounts=below), new_user_namespace=True
    )
    assert locked.spec.base == "tmpfs"
    assert [(one.lower, one.target) for one in locked.spec.layers] == [("/srv/root/x", "/x")]


def test_mounts_of_the_present_root_come_along_with_their_attributes() -> None:
    layers = choose(HOST).spec.layers[1:]
    assert [(one.lower, one.target, one.attributes) for one in layers] == [
        ("/tmp", "/tmp", ("nosuid", "nodev"))
    ]


def test_files_are_bound_sockets_left_out_and_caseless_file_systems_read_only() -> None:
    choice = choose(HOST, privileged_docker())
    assert [one.target for one in choice.spec.layers] == ["/", "/work"]
    assert choice.spec.layers[1].attributes == ("ro", "nosuid")
    assert {one.target: one.attributes for one in choice.mounts} == {
        "/data": ("ro", "nodev"),
        "/etc/hosts": ("ro", "nodev"),
    }
    decision = choice.decisions[-1]
    assert decision.outcome is Outcome.WEAKENED
    assert "vfat" in decision.cause


def targets(*mounts: Mount) -> list[str]:
    tree = take_over((mount(1, 0, "/", "ext4"), *mounts), readonly=False)
    return [*(one.target for one in tree.layers), *(one.target for one in tree.binds)]


def test_what_the_container_has_of_its_own_is_not_taken() -> None:
    assert not targets(
        mount(2, 1, "/proc", "proc"),
        mount(3, 1, "/dev", "devtmpfs"),
        mount(4, 3, "/dev/shm", "tmpfs"),
        mount(5, 1, "/sys/fs/cgroup", "tmpfs"),
        mount(6, 1, "/var/lib/nfs/rpc_pipefs", "rpc_pipefs"),
    )


def test_what_another_mount_hides_is_not_taken() -> None:
    assert targets(
        mount(2, 1, "/a/b", "ext4"),
        mount(3, 1, "/a", "tmpfs"),
        mount(4, 3, "/a/c", "xfs"),
    ) == ["/a", "/a/c"]


def test_of_two_mounts_on_one_place_the_upper_one_is_taken() -> None:
    tree = take_over(
        (
            mount(1, 0, "/", "ext4"),
            mount(2, 1, "/a", "tmpfs"),
            mount(3, 2, "/a", "ext4", options=("rw", "noexec")),
        ),
        readonly=False,
    )
    assert [(one.target, one.attributes) for one in tree.layers] == [("/a", ("noexec",))]


def test_what_is_below_a_bind_comes_with_it() -> None:
    assert targets(mount(2, 1, "/a", "vfat"), mount(3, 2, "/a/b", "ext4")) == ["/a"]


def test_a_read_only_super_block_stays_read_only() -> None:
    tree = take_over(
        (mount(1, 0, "/", "ext4"), mount(2, 1, "/cd", "iso9660", super_options=("ro",))),
        readonly=False,
    )
    assert tree.layers[0].attributes == ("ro",)


def test_outer_mounts_come_before_inner_ones() -> None:
    assert targets(
        mount(2, 1, "/z", "ext4"),
        mount(3, 2, "/z/y/x", "ext4"),
        mount(4, 1, "/a", "ext4"),
        mount(5, 2, "/z/y", "ext4"),
        mount(6, 5, "/z/y/x", "ext4"),
    ) == ["/a", "/z", "/z/y", "/z/y/x"]


def test_a_recording_without_kinds_is_read_by_name() -> None:
    tree = take_over(
        (
            mount(1, 0, "/", "overlay"),
            mount(2, 1, "/etc/hosts", "ext4"),
            mount(3, 1, "/run/docker.sock", "tmpfs"),
        ),
        readonly=False,
    )
    assert [one.target for one in tree.binds] == ["/etc/hosts"]
    assert tree.omitted == ("/run/docker.sock",)
