"""Where a container's cgroups are, on each kind of machine."""

from __future__ import annotations

import msgspec
import pytest

from nestbox.errors import ConfigError, UsageError
from nestbox.outer.facts import Cgroup, CgroupAbove, CgroupHierarchy, CgroupMode
from nestbox.policy.config.cgroup_keys import main_directory
from nestbox.policy.config.cgroup_location import (
    CgroupLocation,
    LocationRequest,
    clean_path,
    locate,
)
from nestbox.policy.config.cgroup_slices import expand_slice
from nestbox.policy.config.cgroup_sub import sub_cgroup


def v1(name: str, own: str = "/", root: str = "") -> CgroupHierarchy:
    mountpoint = f"/sys/fs/cgroup/{name}"
    return CgroupHierarchy(
        version=1,
        controllers=tuple(name.split(",")),
        mountpoint=mountpoint,
        path=root + own,
        directory=f"{mountpoint}{own}".rstrip("/"),
        writable=True,
        enabled=tuple(name.split(",")),
        processes=None,
    )


def v2(mountpoint: str, own: str = "/") -> CgroupHierarchy:
    return CgroupHierarchy(
        version=2,
        controllers=("cpu", "memory", "pids"),
        mountpoint=mountpoint,
        path=own,
        directory=f"{mountpoint}{own}".rstrip("/"),
        writable=True,
        enabled=(),
        processes=1,
    )


HYBRID = Cgroup(
    mode=CgroupMode.HYBRID,
    hierarchies=(
        v1("cpu,cpuacct"),
        v1("memory", "/engine/one"),
        v1("devices"),
        v2("/sys/fs/cgroup/unified"),
    ),
)
UNIFIED = Cgroup(mode=CgroupMode.V2, hierarchies=(v2("/sys/fs/cgroup", "/user/session"),))


def directories(path: str | None, facts: Cgroup, **more: object) -> dict[str, str]:
    request = LocationRequest(container="web", path=path)
    return locate(msgspec.structs.replace(request, **more), facts).directories


def test_an_absolute_path_is_below_the_root_of_each_hierarchy():
    assert directories("/pods/a", HYBRID) == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/pods/a",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/pods/a",
        "memory": "/sys/fs/cgroup/memory/pods/a",
        "devices": "/sys/fs/cgroup/devices/pods/a",
        "": "/sys/fs/cgroup/unified/pods/a",
    }
    assert directories("/pods/a", UNIFIED) == {"": "/sys/fs/cgroup/pods/a"}


@pytest.mark.parametrize(("path", "below"), [("a/b", "a/b"), (None, "web"), ("", "web")])
def test_a_relative_path_and_none_are_below_our_own_cgroup_on_version_1(path, below):
    found = directories(path, HYBRID)
    assert found["memory"] == f"/sys/fs/cgroup/memory/engine/one/{below}"
    assert found["devices"] == f"/sys/fs/cgroup/devices/{below}"


def test_a_relative_path_is_beside_our_own_cgroup_on_version_2():
    assert directories("a", UNIFIED) == {"": "/sys/fs/cgroup/user/a"}
    at_the_root = Cgroup(mode=CgroupMode.V2, hierarchies=(v2("/sys/fs/cgroup"),))
    assert directories("a", at_the_root) == {"": "/sys/fs/cgroup/a"}


def test_a_default_parent_takes_containers_without_a_path_only():
    assert directories(None, UNIFIED, default_parent="/nestbox") == {
        "": "/sys/fs/cgroup/nestbox/web"
    }
    assert directories("/other", UNIFIED, default_parent="/nestbox") == {"": "/sys/fs/cgroup/other"}


def test_a_nested_machine_is_told_by_the_directories_that_it_sees():
    """In a container without a cgroup namespace our own cgroup is where the mount begins."""
    nested = CgroupHierarchy(
        version=1,
        controllers=("memory",),
        mountpoint="/sys/fs/cgroup/memory",
        path="/docker/abc/inner",
        directory="/sys/fs/cgroup/memory/inner",
        writable=True,
        enabled=("memory",),
        processes=None,
    )
    facts = Cgroup(mode=CgroupMode.V1, hierarchies=(nested,))
    assert directories("a", facts) == {"memory": "/sys/fs/cgroup/memory/inner/a"}
    out_of_sight = msgspec.structs.replace(nested, directory=None)
    facts = Cgroup(mode=CgroupMode.V1, hierarchies=(out_of_sight,))
    assert directories("a", facts) == {"memory": "/sys/fs/cgroup/memory/a"}


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("../../etc", "etc"),
        ("/../../etc/./x//y/", "/etc/x/y"),
        ("a/../../../b", "b"),
        ("/..", "/"),
        ("", ""),
    ],
)
def test_dots_never_lead_out(path, clean):
    assert clean_path(path) == clean


@pytest.mark.parametrize("path", ["/", "/a/..", "a\nb", "a\0b"])
def test_a_path_that_is_no_cgroup_of_its_own_is_refused(path):
    with pytest.raises(ConfigError, match="cannot use the cgroup path"):
        directories(path, HYBRID)


def test_an_unknown_manager_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match="cgroupfs, systemd, disabled"):
        directories(None, HYBRID, manager="upstart")


def test_disabled_and_unmounted_cgroups_are_none():
    nothing = Cgroup(mode=CgroupMode.NONE, hierarchies=())
    for location in (
        locate(LocationRequest(container="web", manager="disabled"), HYBRID),
        locate(LocationRequest(container="web"), nothing),
    ):
        assert (location.version, location.directories, location.main) == (0, {}, None)


def test_a_location_survives_json():
    location = locate(LocationRequest(container="web", path="/a", rootless=True), HYBRID)
    kept = msgspec.json.decode(msgspec.json.encode(location), type=CgroupLocation)
    assert kept == location
    assert kept.main == "/sys/fs/cgroup/devices/a"


def test_the_main_directory_is_one_with_all_processes():
    assert main_directory(2, {"": "/v2"}) == "/v2"
    assert main_directory(1, {"": "/v2", "memory": "/memory"}) == "/memory"
    assert main_directory(1, {"": "/v2", "name=systemd": "/named"}) == "/named"
    assert main_directory(1, {"": "/v2"}) == "/v2"


def test_systemd_names_a_scope_in_a_slice():
    location = locate(
        LocationRequest(container="web", path="a-b.slice:docker:123", manager="systemd"), UNIFIED
    )
    assert (location.slice, location.unit) == ("a-b.slice", "docker-123.scope")
    assert location.directories == {"": "/sys/fs/cgroup/a.slice/a-b.slice/docker-123.scope"}


def test_systemd_without_a_path_uses_its_own_slices():
    root = locate(LocationRequest(container="web", manager="systemd"), HYBRID)
    assert root.directories["memory"] == "/sys/fs/cgroup/memory/system.slice/nestbox-web.scope"
    user = locate(
        LocationRequest(
            container="web", manager="systemd", rootless=True, manager_cgroup="/user@7.service"
        ),
        UNIFIED,
    )
    assert user.directories == {"": "/sys/fs/cgroup/user@7.service/user.slice/nestbox-web.scope"}
    with pytest.raises(UsageError, match="without root"):
        locate(LocationRequest(container="web", manager="systemd", rootless=True), HYBRID)


def test_a_slice_is_a_unit_too():
    location = locate(
        LocationRequest(container="x", path="system.slice::kube.slice", manager="systemd"), UNIFIED
    )
    assert location.unit == "kube.slice"


@pytest.mark.parametrize(
    "path", ["/a/b", "a:b", "a:b:c:d", "s.slice:p:", "s.slice:p:../x", "bad:p:n", "-x.slice:p:n"]
)
def test_a_malformed_path_for_systemd_is_refused(path):
    with pytest.raises(ConfigError):
        directories(path, UNIFIED, manager="systemd")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("system.slice", "/system.slice"),
        ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
        ("-.slice", "/"),
    ],
)
def test_a_slice_is_in_those_that_its_name_begins_with(name, path):
    assert expand_slice(name) == path


@pytest.mark.parametrize(
    "name", [".slice", "a", "-", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice"]
)
def test_a_name_that_is_no_slice_is_refused(name):
    with pytest.raises(ConfigError, match="slice"):
        expand_slice(name)


LOCATION = locate(LocationRequest(container="web", path="/web"), HYBRID)


def test_a_sub_cgroup_is_below_all_of_them_or_those_named():
    assert sub_cgroup(LOCATION, ()) is LOCATION
    everywhere = sub_cgroup(LOCATION, ["in/ner"]).directories
    assert set(everywhere.values()) == {f"{path}/in/ner" for path in LOCATION.directories.values()}
    some = sub_cgroup(LOCATION, ["cpu,cpuacct:a", "memory:/b/"]).directories
    assert some["cpu"] == some["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct/web/a"
    assert some["memory"] == "/sys/fs/cgroup/memory/web/b"
    assert some["devices"] == LOCATION.directories["devices"]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["../other"], "bad sub cgroup path"),
        (["memory:a/../../b"], "bad sub cgroup path"),
        (["a", "b"], "missing <controller>: prefix"),
        ([":a"], "empty <controller> prefix"),
        (["cpu,:a"], "empty <controller> prefix"),
        (["cpu:a", "cpu:b"], "specified multiple times"),
        (["none:a"], "unknown controller none"),
    ],
)
def test_a_sub_cgroup_that_is_none_is_refused(arguments, cause):
    with pytest.raises(UsageError, match=f"invalid --cgroup argument.*{cause}"):
        sub_cgroup(LOCATION, arguments)


def own(**fields: object) -> CgroupHierarchy:
    return msgspec.structs.replace(v2("/sys/fs/cgroup", "/slice/job"), **fields)


def over(*, writable: bool) -> CgroupAbove:
    return CgroupAbove(
        directory="/sys/fs/cgroup/slice",
        controllers=("pids",),
        enabled=(),
        writable=writable,
        takes_controllers=False,
    )


@pytest.mark.parametrize(
    ("writable", "found", "nest"),
    [
        (True, "/sys/fs/cgroup/slice/web", ""),
        (False, "/sys/fs/cgroup/slice/job/web", "/sys/fs/cgroup/slice/job"),
    ],
)
def test_where_our_own_cgroup_is_all_that_we_have_the_container_is_below_it(writable, found, nest):
    facts = Cgroup(mode=CgroupMode.V2, hierarchies=(own(above=(over(writable=writable),)),))
    location = locate(LocationRequest(container="web", may_nest=True), facts)
    assert (location.directories, location.nest) == ({"": found}, nest)


def test_our_own_cgroup_is_divided_only_for_what_is_below_it_and_if_it_may_be():
    root = Cgroup(mode=CgroupMode.V2, hierarchies=(v2("/sys/fs/cgroup"),))
    request = LocationRequest(container="web", path="/web")
    assert locate(request, root).nest == ""
    request = msgspec.structs.replace(request, may_nest=True)
    assert locate(request, root).nest == "/sys/fs/cgroup"
    assert locate(request, HYBRID).nest == ""
