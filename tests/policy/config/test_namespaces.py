"""Namespaces: made, joined or shared; the ids of a new user namespace; what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nestbox.errors import NestboxError, UsageError
from nestbox.outer.bundle_facts import NamespaceFacts
from nestbox.outer.facts import IdMap, MapTool, OuterEnvironment, SubordinateIds, Tools
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.policy.launch_spec import JoinSpec
from nestbox.policy.resolution import refusal
from tests.policy.config.cases import (
    USER_MAPS,
    decide,
    launch,
    namespaces,
    rootless_spec,
    spec,
    with_user,
)
from tests.policy.surroundings import change, docker_container, full_root, unprivileged_user

ROWS = (IdMap(inside=0, outside=100000, count=65536),)
NO_RIGHTS = MapTool(setuid=None, file_permitted=0, nosuid=False)
JOINED = namespaces("pid", "mount", user="/proc/7/ns/user")


def joining(**facts: Any) -> dict[str, NamespaceFacts]:
    return {"/proc/7/ns/user": NamespaceFacts(**{"kind": "user", **facts})}


def test_new_ones_are_made_with_the_user_namespace_first() -> None:
    found = launch(with_user(linux__namespaces=namespaces("pid", "mount", "user"), hostname=""))
    assert found.namespaces == ("user", "pid", "mnt")
    assert (found.uid_map, found.gid_map, found.map_with_tools) == (ROWS, ROWS, False)
    assert not found.loopback


def test_those_with_a_path_are_joined() -> None:
    config = spec(linux__namespaces=namespaces("mount", network="/run/netns/x", ipc="/p/ns/ipc"))
    found = launch(msgspec.structs.replace(config, hostname=""))
    assert found.joined == (
        JoinSpec(namespace="net", path="/run/netns/x"),
        JoinSpec(namespace="ipc", path="/p/ns/ipc"),
    )
    assert found.namespaces == ("mnt",)
    assert not found.loopback


def test_only_a_new_network_has_its_loopback_brought_up() -> None:
    assert launch(spec()).loopback


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"kind": "pid"}, "incorrect namespace type: it is a pid namespace"),
        ({"kind": ""}, "incorrect namespace type: it is no namespace"),
        ({"error": "no such file or directory"}, "no such file or directory"),
    ],
)
def test_a_path_that_is_no_namespace_of_its_type_is_refused(facts: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        decide(spec(linux__namespaces=JOINED, hostname=""), namespaces=joining(**facts))


def test_names_are_set_in_a_namespace_of_their_own_alone() -> None:
    found = launch(spec(hostname="box", domainname="example.org"))
    assert (found.hostname, found.domainname) == ("box", "example.org")
    with pytest.raises(NestboxError, match="uts"):
        launch(spec(hostname="box", linux__namespaces=namespaces("pid", "mount")))


def test_offsets_of_the_clocks_of_a_new_time_namespace() -> None:
    config = spec(
        linux__namespaces=namespaces("mount", "uts", "time"),
        linux__timeOffsets={"boottime": {"secs": -5, "nanosecs": 7}},
    )
    found = launch(config)
    assert found.time_offsets == (("boottime", -5, 7),)
    assert "time" in found.namespaces


def test_without_a_pid_namespace_a_note_tells_what_that_means() -> None:
    resolution = decide(spec(linux__namespaces=namespaces("mount", "uts")))
    (note,) = (one for one in resolution.decisions if one.subject == "pid-namespace")
    assert "sees and can signal outer processes" in note.chosen
    assert resolution.warnings == ()


def test_the_ids_of_a_namespace_to_join_may_be_repeated_and_not_contradicted() -> None:
    config = spec(
        linux__namespaces=JOINED,
        hostname="",
        linux__uidMappings=USER_MAPS,
        linux__gidMappings=USER_MAPS,
    )
    found = launch(config, namespaces=joining(uid_map=ROWS, gid_map=ROWS))
    assert (found.uid_map, found.joined[0].namespace) == (ROWS, "user")
    assert "user" not in found.namespaces
    others = (IdMap(inside=0, outside=1, count=1),)
    with pytest.raises(UsageError, match="both namespace path and non-matching mapping"):
        launch(config, namespaces=joining(uid_map=others, gid_map=others))
    assert launch(config, namespaces=joining()).joined  # not known: for the kernel to tell


def alone() -> Any:
    return [{"containerID": 0, "hostID": 1000, "size": 1}]


def rootless(**changes: Any) -> Any:
    config = rootless_spec(linux__uidMappings=alone(), linux__gidMappings=alone(), **changes)
    kept = tuple(one for one in config.mounts if one.destination != "/dev/pts")
    return msgspec.structs.replace(config, mounts=kept)


def test_without_rights_one_id_is_mapped_and_groups_are_kept() -> None:
    found = launch(rootless(), unprivileged_user())
    assert (found.map_with_tools, found.process.groups) == (False, None)


def with_tools(first: int = 100000, **changes: Any) -> OuterEnvironment:
    """Return a user whose ids from ``first`` on the two programs map."""
    outer = unprivileged_user()
    assert outer.tools is not None
    ranges = (SubordinateIds(first=first, count=65536),)
    given = {"newuidmap": "/bin/u", "newgidmap": "/bin/g", "subuid": ranges, "subgid": ranges}
    return change(outer, tools=msgspec.structs.replace(outer.tools, **given | changes))


def several() -> Any:
    many = [*alone(), {"containerID": 1, "hostID": 100000, "size": 65536}]
    return rootless_spec(linux__uidMappings=many, linux__gidMappings=many)


def test_without_rights_several_ids_are_mapped_by_the_tools() -> None:
    found = launch(several(), with_tools())
    assert (found.map_with_tools, found.process.groups) == (True, ())


@pytest.mark.parametrize(
    ("outer", "cause"),
    [
        (unprivileged_user(), "newuidmap and newgidmap are not on PATH"),
        (with_tools(200000), "uids 100000 to 165535 belong to others by /etc/subuid"),
        (with_tools(newuidmap_rights=NO_RIGHTS), "/bin/u"),
    ],
)
def test_ids_that_are_not_ours_are_refused(outer: OuterEnvironment, cause: str) -> None:
    with pytest.raises(UsageError, match=cause) as caught:
        launch(several(), outer)
    assert "map the uid 1000 and the gid 1000 alone, or" in caught.value.remedy


def test_where_not_every_source_of_ranges_can_be_read_the_tools_decide() -> None:
    found = launch(several(), with_tools(200000, subordinate_notes=("no getsubids",)))
    assert found.map_with_tools


def test_a_rootless_container_needs_a_user_namespace() -> None:
    with pytest.raises(UsageError, match="rootless container requires user namespaces"):
        launch(spec(), unprivileged_user())


def test_groups_are_kept_where_the_user_namespace_to_join_denies_others() -> None:
    config = spec(linux__namespaces=JOINED, hostname="")
    found = launch(config, namespaces=joining(uid_map=ROWS, gid_map=ROWS, setgroups_denied=True))
    assert found.process.groups is None
    assert launch(config, namespaces=joining(uid_map=ROWS, gid_map=ROWS)).process.groups == ()


def test_processes_that_nothing_tells_apart_are_warned_of() -> None:
    """The words are runc's, which callers know."""
    config = rootless(linux__namespaces=namespaces("user", "mount", "uts", "ipc", "cgroup"))
    nowhere = CgroupLocation(version=1, rootless=True)
    found = decide(config, unprivileged_user(), cgroups=nowhere)
    assert any("Such configuration is strongly discouraged" in one for one in found.warnings)
    named = msgspec.structs.replace(nowhere, named=True)
    assert not decide(config, unprivileged_user(), cgroups=named).warnings


def test_without_the_right_to_make_namespaces_all_is_refused_at_once() -> None:
    outer: OuterEnvironment = change(docker_container(), seccomp=full_root().seccomp)
    resolution = decide(spec(), outer)
    assert resolution.launch is None
    error = refusal(resolution)
    assert error is not None
    assert "operation not permitted: CAP_SYS_ADMIN" in str(error)


def test_devices_of_the_network_are_the_runtimes_to_move() -> None:
    assert launch(spec(linux__netDevices={"eth9": {"name": "e0"}})).network_devices
    with pytest.raises(NestboxError, match="network"):
        launch(spec(linux__netDevices={"eth9": {}}, linux__namespaces=namespaces("mount", "uts")))


def test_tools_are_looked_for_only_where_they_are_needed() -> None:
    bare = change(full_root(), tools=None)
    assert launch(with_user(), bare).uid_map == ROWS
    assert isinstance(unprivileged_user().tools, Tools)
