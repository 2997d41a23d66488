"""Bind mounts: what of the source is kept, what options take, and who opens it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import NestboxError, UsageError
from nestbox.oci.config import Config
from nestbox.outer.bundle_facts import SourceFacts
from nestbox.outer.facts import IdMap
from nestbox.policy.config.bind_attributes import asked_times
from nestbox.policy.launch_spec import IdMapping, MountSpec
from tests.policy.config.cases import (
    USER_MAPS,
    bind,
    decide,
    launch,
    mount_at,
    mounts,
    namespaces,
    rootless_spec,
    spec,
    with_user,
)
from tests.policy.surroundings import (
    change,
    full_root,
    rights,
    unprivileged_user,
)

UNPRIVILEGED = change(unprivileged_user())


def only(*options: str, **fields: Any) -> Config:
    return spec(mounts=mounts(bind("/src", "/data", *options, **fields)))


def made(*options: str, **fields: Any) -> MountSpec:
    return mount_at(launch(only(*options, **fields)), "/data")


def in_user_namespace(*options: str, attributes: tuple[str, ...] = ("relatime",)) -> MountSpec:
    config = with_user(mounts=mounts(bind("/src", "/data", *options)))
    return mount_at(launch(config, sources={"/src": SourceFacts(attributes=attributes)}), "/data")


def test_without_options_the_source_is_kept_as_it_is() -> None:
    mount = made()
    assert (mount.attributes, mount.cleared, mount.propagation) == ((), (), "")
    assert (mount.recursive, mount.handed_over) == (False, False)


def test_with_an_option_the_mount_has_what_is_named_and_nothing_else() -> None:
    mount = made("ro", "nodev")
    assert mount.attributes == ("ro", "nodev")
    assert mount.cleared == ("nosuid", "noexec", "nosymfollow")
    assert made("dev").cleared == ("ro", "nosuid", "nodev", "noexec", "nosymfollow")


def test_recursive_attributes_are_apart_from_those_of_the_mount_itself() -> None:
    mount = made("rbind", "rro", "rnosuid", "rexec")
    assert mount.recursive
    assert not mount.recursive_attributes
    assert mount.attributes == mount.cleared == ()
    assert mount.attributes_below == ("ro", "nosuid")
    assert mount.cleared_below == ("noexec",)


@pytest.mark.parametrize(
    ("words", "times"),
    [
        ((), ()),
        (("atime",), ()),
        (("norelatime",), ()),
        (("noatime", "atime"), ()),
        (("relatime",), ("relatime",)),
        (("nodiratime",), ("relatime", "nodiratime")),
        (("nodiratime", "strictatime"), ("strictatime", "nodiratime")),
        (("nodiratime", "norelatime"), ("relatime", "nodiratime")),
        (("noatime", "relatime"), ("noatime",)),
        (("noatime", "strictatime"), ("strictatime",)),
        (("nodiratime", "diratime"), ()),
    ],
)
def test_access_times_are_kept_unless_an_option_names_some(
    words: tuple[str, ...], times: tuple[str, ...]
) -> None:
    assert asked_times(words) == times
    assert tuple(x for x in made(*words).attributes if "atime" in x) == times


def test_a_new_access_time_replaces_the_one_of_directories() -> None:
    assert "nodiratime" in made("strictatime").cleared
    assert "nodiratime" not in made("ro").cleared


def test_in_a_user_namespace_locked_attributes_are_kept() -> None:
    mount = in_user_namespace("dev", attributes=("ro", "noexec", "nosymfollow", "nodiratime"))
    assert mount.attributes == ()
    assert mount.cleared == ("nosymfollow",)
    assert in_user_namespace("ro", attributes=("nodev", "noatime")).attributes == ("ro",)
    assert in_user_namespace().cleared == ()


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        (("rw",), ("ro",)),
        (("dev", "suid"), ("nodev", "relatime")),
        (("strictatime",), ("relatime",)),
        (("noatime",), ("relatime",)),
        (("nodiratime",), ("relatime",)),
        (("noatime",), ("nodiratime", "relatime")),
    ],
)
def test_in_a_user_namespace_locked_attributes_cannot_be_taken(
    options: tuple[str, ...], attributes: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match="operation not permitted") as caught:
        in_user_namespace(*options, attributes=attributes)
    assert 'error mounting "/src" to rootfs at "/data"' in str(caught.value)


@pytest.mark.parametrize(
    ("options", "attributes"),
    [(("rw",), ()), (("exec", "atime"), ("noatime",)), (("strictatime",), ()),
     (("nodiratime", "relatime"), ("nodiratime", "relatime"))],
)  # fmt: skip
def test_in_a_user_namespace_what_is_so_already_may_be_named(
    options: tuple[str, ...], attributes: tuple[str, ...]
) -> None:
    assert in_user_namespace(*options, attributes=attributes).cleared == ("nosymfollow",)


def test_a_user_namespace_gets_its_sources_from_the_runtime_without_a_way_back() -> None:
    mount = in_user_namespace()
    assert mount.handed_over
    assert (mount.propagation, mount.recursive_propagation) == ("slave", True)
    assert in_user_namespace("rshared").propagation == "shared"


def test_without_rights_there_is_nobody_who_could_hand_over() -> None:
    config = rootless_spec(
        mounts=mounts(bind("/src", "/data")),
        linux__uidMappings=[{"containerID": 0, "hostID": 1000, "size": 1}],
        linux__gidMappings=[{"containerID": 0, "hostID": 1000, "size": 1}],
    )
    config = msgspec.structs.replace(config, mounts=config.mounts[-1:])
    assert not mount_at(launch(config, UNPRIVILEGED), "/data").handed_over


def test_a_missing_source_is_told_before_anything_is_made() -> None:
    gone = {"/src": SourceFacts(error="no such file or directory")}
    with pytest.raises(UsageError) as caught:
        decide(only(), sources=gone)
    assert str(caught.value).startswith(
        'error mounting "/src" to rootfs at "/data": stat /src: no such file or directory'
    )


def test_a_source_is_not_looked_for_outside_when_the_mount_namespace_is_joined() -> None:
    config = spec(
        mounts=mounts(bind("/src", "/data")),
        linux__namespaces=namespaces(mount="/proc/7/ns/mnt"),
        hostname="",
    )
    gone = {"/src": SourceFacts(error="no such file or directory")}
    assert mount_at(launch(config, sources=gone), "/data").source == "/src"


def test_a_source_below_the_root_is_what_is_mounted_there_by_then() -> None:
    config = spec(
        mounts=mounts(bind("/src", "/mnt"), bind("/srv/root/mnt/x", "/srv/root/final", "rbind"))
    )
    for asked in (config, with_user(mounts=mounts(bind("/srv/root/mnt/x", "/final", "rbind")))):
        mount = mount_at(launch(asked), "/final")
        assert (mount.source, mount.from_root, mount.handed_over) == ("/mnt/x", True, False)
    whole = mount_at(launch(spec(mounts=[bind("/srv/root", "/again")])), "/again")
    assert (whole.source, whole.from_root) == ("/", True)
    beside = mount_at(launch(spec(mounts=[bind("/srv/rooted", "/x")])), "/x")
    assert (beside.source, beside.from_root) == ("/srv/rooted", False)


def test_relative_paths_are_meant_from_the_bundle_and_from_the_root() -> None:
    config = spec(mounts=mounts(bind("src/", "data/../x")))
    resolution = decide(config)
    assert resolution.launch is not None
    assert mount_at(resolution.launch, "/x").source == "/bundle/src/"
    assert any("data/../x" in line for line in resolution.warnings)


def test_the_option_makes_a_bind_and_not_the_type() -> None:
    for kind in ("none", "ext4", "bind"):
        assert made(type=kind).fstype == "bind"
    config = spec(mounts=mounts({"destination": "/data", "type": "bind", "source": "/src"}))
    assert mount_at(launch(config), "/data").fstype == "bind"


def test_the_last_propagation_counts() -> None:
    mount = made("rbind", "slave", "rshared")
    assert (mount.propagation, mount.recursive_propagation) == ("shared", True)


def test_id_mapped_by_rows_of_its_own() -> None:
    mount = made("rbind", "ridmap", uidMappings=USER_MAPS, gidMappings=USER_MAPS)
    rows = (IdMap(inside=0, outside=100000, count=65536),)
    assert mount.id_mapping == IdMapping(uid_map=rows, gid_map=rows, recursive=True)
    assert mount.handed_over


def test_id_mapped_by_the_user_namespace_of_the_container() -> None:
    assert in_user_namespace("idmap").id_mapping == IdMapping()
    with pytest.raises(NestboxError, match="id-mapped mount"):
        launch(only("idmap"))


def test_id_mapped_needs_rights() -> None:
    config = rootless_spec(mounts=[bind("/src", "/data", "idmap")])
    with pytest.raises(UsageError, match="not supported for rootless containers"):
        launch(config, UNPRIVILEGED)


def test_id_mapped_needs_a_kernel_that_has_it() -> None:
    old = msgspec.structs.replace(full_root().kernel, release="5.10.0", version=(5, 10))
    config = only("idmap", uidMappings=USER_MAPS, gidMappings=USER_MAPS)
    with pytest.raises(UsageError, match="/data") as caught:
        launch(config, change(full_root(), kernel=old))
    assert caught.value.cause == "the kernel has no id-mapped mounts: they came with Linux 5.12"


def test_a_remount_changes_what_is_there() -> None:
    config = spec(mounts=mounts(bind("", "/proc", "remount", "ro", "nosuid")))
    mount = launch(config).mounts[-1]
    assert (mount.fstype, mount.target, mount.attributes) == ("remount", "/proc", ("ro", "nosuid"))
    assert mount.cleared == ("nodev", "noexec", "nosymfollow")


def test_in_an_outer_user_namespace_the_kernel_alone_knows_what_is_locked() -> None:
    outer = full_root()
    assert outer.user_namespace is not None
    nested = change(
        outer,
        user_namespace=msgspec.structs.replace(outer.user_namespace, initial=False),
        capabilities=rights((1 << 41) - 1),
    )
    found = launch(only("rw"), nested, sources={"/src": SourceFacts(attributes=("ro",))})
    assert mount_at(found, "/data").cleared == ("ro", "nosymfollow")
    assert mount_at(launch(only("noatime"), nested), "/data").attributes == ("noatime",)
