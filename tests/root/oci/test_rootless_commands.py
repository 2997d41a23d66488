"""Every command as an ordinary user without a right, and what is refused to one, in words."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.root.driver import SECONDS
from tests.root.oci.rootless import COUNT, FIRST, UID, delegated, rootless, users_bundle

MANY = pytest.mark.skipif(
    not (shutil.which("newuidmap") and Path("/etc/subuid").exists()),
    reason="newuidmap is not installed (package uidmap)",
)

# The words of runc, which has others on each version.
NO_LIMIT = (
    "rootless needs no limits + no cgrouppath"
    if Path("/sys/fs/cgroup/cgroup.controllers").exists()
    else "cannot set memory limit: container could not join or create cgroup"
)


@pytest.fixture
def user(oci):
    """Return the runtime of a user who has one id."""
    with rootless(oci.command) as runtime:
        yield runtime


@pytest.fixture
def owner(oci):
    """Return the runtime of a user who has many ids."""
    with rootless(oci.command, ranges=True) as runtime:
        yield runtime


def _map_many(bundle) -> None:
    for kind in ("uidMappings", "gidMappings"):
        bundle.linux[kind].append({"containerID": 1, "hostID": FIRST, "size": COUNT})


def test_a_container_from_its_creation_to_its_end(user, image):
    bundle = users_bundle(user, image)
    name = user.create(bundle)
    state = user.state(name)
    assert state["status"] == "created"
    status = Path(f"/proc/{state['pid']}/status").read_text()
    assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}\n" in status
    user.start(name)
    assert user.status(name) == "running"
    assert user.exec(name, "id", "-u").stdout == "0\n"
    assert user.exec(name, "cat", "/proc/self/uid_map").stdout.split() == ["0", str(UID), "1"]
    assert json.loads(user.ok("ps", "--format", "json", name).stdout) == [state["pid"]]
    listed = json.loads(user.ok("list", "--format", "json").stdout)
    assert [(one["id"], one["owner"]) for one in listed] == [(name, "rootless")]
    user.ok("kill", name, "KILL")
    user.wait(name)
    assert user.status(name) == "stopped"
    user.ok("delete", name)
    assert user.kept() == []
    assert user.messages() == []


def test_run_gives_the_status_and_says_nothing(user, image):
    done = user.run(users_bundle(user, image).shell("echo out; exit 7"))
    assert (done.exit_code, done.stdout, done.stderr) == (7, "out\n", "")
    assert user.messages() == []


def test_the_state_is_in_the_runtime_directory_of_the_user(user):
    where = user.home / "runtime"
    done = subprocess.run(
        user.default("list", "--quiet", XDG_RUNTIME_DIR=str(where)), timeout=SECONDS, check=True
    )
    assert done.returncode == 0
    assert stat.S_IMODE((where / "nestbox").stat().st_mode) == stat.S_ISVTX | 0o700


@MANY
def test_many_ids_are_mapped_by_newuidmap(owner, image):
    bundle = users_bundle(owner, image)
    _map_many(bundle)
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [50]}
    name = owner.up(bundle)
    rows = owner.exec(name, "cat", "/proc/self/uid_map").stdout.splitlines()
    assert [row.split() for row in rows] == [["0", str(UID), "1"], ["1", str(FIRST), str(COUNT)]]
    assert owner.exec(name, "id").stdout == "uid=1000(worker) gid=1000(worker) groups=50(staff)\n"
    assert owner.exec(name, "id", "-u", flags=("--user", "0")).stdout == "0\n"


def test_another_container_joins_the_user_namespace_of_the_first(user, image):
    bundle = users_bundle(user, image)
    pid = user.state(user.up(bundle))["pid"]
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    bundle.namespaces(user=f"/proc/{pid}/ns/user", pid=f"/proc/{pid}/ns/pid")
    done = user.run(bundle.args("sh", "-c", "id -u; readlink /proc/self/ns/user"))
    assert done.stdout.split() == ["0", Path(f"/proc/{pid}/ns/user").readlink().name]


def test_root_of_a_user_namespace_does_without_cgroups_that_are_not_its_own(user, image):
    """As podman of an ordinary user calls its runtime."""
    bundle = users_bundle(user, image).namespaces(without=("user", "cgroup"))
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    user.inside = ("unshare", "--user", "--map-root-user")
    done = user.run(bundle.args("sh", "-c", "id -u; cat /proc/self/uid_map"))
    assert done.stdout.split() == ["0", "0", str(UID), "1"], done.stderr
    assert user.messages() == []
    bundle.linux["resources"] = {"memory": {"limit": 64 << 20}}
    done = user.run(bundle)
    assert (done.exit_code, NO_LIMIT in done.stderr) == (1, True), done.stderr


def test_processes_that_nothing_can_tell_apart_are_warned_of(user, image):
    bundle = users_bundle(user, image).namespaces(without=("pid",)).args("true")
    assert user.run(bundle).exit_code == 0
    assert "Such configuration is strongly discouraged" in user.messages("warning")[0]


def test_ids_of_others_are_refused(user, image):
    bundle = users_bundle(user, image)
    _map_many(bundle)
    name = user.new_id()
    done = user.try_create(bundle, name)
    assert done.exit_code == 1
    assert "cannot map the ids of the user namespace" in done.stderr
    assert f"map the uid {UID} and the gid {UID} alone, or install newuidmap" in done.stderr
    assert user.kept() == []


@MANY
def test_more_ids_than_the_ranges_have_are_refused(owner, image):
    bundle = users_bundle(owner, image)
    _map_many(bundle)
    bundle.linux["uidMappings"][1]["size"] += 1
    done = owner.try_create(bundle, owner.new_id())
    assert done.exit_code == 1
    assert f"uids {FIRST} to {FIRST + COUNT} belong to others by /etc/subuid" in done.stderr
    assert owner.kept() == []


REFUSED = {
    "no-user-namespace": "rootless container requires user namespaces",
    "unmapped-user": "cannot setuid to unmapped uid 5 in user namespace",
    "unmapped-group-of-pts": "cannot specify gid=5 mount option for a rootless container",
    "memory": NO_LIMIT,
    "a-cgroup-of-root": "permission denied",
    "network-of-the-machine": "open /proc/1/ns/net: permission denied",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_and_leaves_nothing(user, image, what):
    bundle = users_bundle(user, image)
    match what:
        case "no-user-namespace":
            bundle.namespaces(without=("user",))
            del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
        case "unmapped-user":
            bundle.process["user"]["uid"] = 5
        case "unmapped-group-of-pts":
            pts = next(one for one in bundle.config["mounts"] if one["type"] == "devpts")
            pts["options"].append("gid=5")
        case "memory":
            bundle.linux["resources"] = {"memory": {"limit": 64 << 20}}
        case "a-cgroup-of-root":
            bundle.linux["cgroupsPath"] = f"/{user.prefix}"
        case "network-of-the-machine":
            bundle.linux["namespaces"].append({"type": "network", "path": "/proc/1/ns/net"})
    done = user.try_create(bundle, user.new_id())
    assert (done.exit_code, REFUSED[what] in done.stderr) == (1, True), done.stderr
    assert user.kept() == []


def test_device_rules_of_its_own_are_missed_aloud(user, image):
    bundle = users_bundle(user, image).args("true")
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    assert user.run(bundle).exit_code == 0
    assert [one for one in user.messages("warning") if "device rules are not enforced" in one]


def test_groups_that_cannot_be_had_are_told(user, image):
    bundle = users_bundle(user, image).args("true")
    bundle.process["user"]["additionalGids"] = [50]
    assert user.run(bundle).exit_code == 0
    assert "setgroups(2) is not allowed in the user namespace" in user.messages("warning")[0]


def test_with_delegated_cgroups_everything_works(user, image):
    with delegated(user) as path:
        bundle = users_bundle(user, image)
        bundle.linux["cgroupsPath"] = path
        bundle.linux["resources"] = {"pids": {"limit": 20}}
        name = user.up(bundle)
        user.ok("pause", name)
        assert user.status(name) == "paused"
        user.ok("resume", name)
        assert user.status(name) == "running"
        user.ok("update", "--pids-limit", "30", name)
        stats = json.loads(user.ok("events", "--stats", name).stdout)
        assert stats["data"]["pids"] == {"current": 1, "limit": 30}
        assert user.exec(name, "true").exit_code == 0
        user.ok("delete", "--force", name)


def test_without_a_cgroup_there_is_nothing_to_freeze(user, image):
    name = user.up(users_bundle(user, image))
    done = user.call("pause", name)
    assert done.exit_code == 1
    assert "cgroups not configured for container" in done.stderr


def test_who_is_said_to_have_cgroups_needs_them(user, image):
    user.flags = ("--rootless=false",)
    done = user.try_create(users_bundle(user, image), user.new_id())
    assert (done.exit_code, "permission denied" in done.stderr) == (1, True)
