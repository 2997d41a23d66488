"""Containers of an engine where our own cgroup of version 2 has processes: in a container, or given
to a user."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from nestbox.policy.cgroup_nesting import LEAF
from tests.root.cgroups.places import inside, made, require_controllers
from tests.root.oci.driver import Oci
from tests.root.oci.rootless import UID, Rootless, rootless, users_bundle

MIB = 1 << 20


@dataclass
class Inside(Oci):
    """The runtime in a cgroup that is the root of its cgroup namespace."""

    before: tuple[str, ...] = ()

    def words(self, *arguments: str) -> list[str]:
        """Return a whole command line."""
        return [*self.before, *super().words(*arguments)]


@pytest.fixture
def own():
    """Give a cgroup with controllers."""
    require_controllers()
    with made(f"nestbox-test-{os.urandom(4).hex()}", controllers=True) as directory:
        yield directory


@pytest.fixture
def nested(oci, own):
    """Return the runtime inside of that cgroup."""
    runtime = Inside(oci.command, oci.directory, oci.prefix, before=tuple(inside(own)))
    yield runtime
    runtime.clean()


def show(bundle, *files: str):
    """Mount the cgroup of the container, and print files of it."""
    bundle.linux["namespaces"].append({"type": "cgroup"})
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    bundle.config["mounts"].append({**mount, "options": ["ro"]})
    return bundle.args("cat", *(f"/sys/fs/cgroup/{file}" for file in files))


@pytest.mark.parametrize("path", [None, "/pods/one", "one"])
def test_limits_are_met_beside_a_leaf(nested, own, bundle, path):
    bundle = show(bundle, "pids.max", "memory.max")
    bundle.linux["resources"] |= {"pids": {"limit": 20}, "memory": {"limit": 48 * MIB}}
    if path is not None:
        bundle.linux["cgroupsPath"] = path
    done = nested.run(bundle)
    assert (done.exit_code, done.stdout.split()) == (0, ["20", str(48 * MIB)]), done.stderr
    assert (own / LEAF).exists()


def test_without_limits_nobody_is_moved(nested, own, bundle):
    assert nested.run(bundle.args("true")).exit_code == 0
    assert not (own / LEAF).exists()


def test_a_limit_without_a_controller_is_named(nested, own, bundle):
    """Of nested ones the outer cgroup says which there are."""
    (own.parent / "cgroup.subtree_control").write_text("-pids")
    try:
        bundle.linux["resources"] |= {"pids": {"limit": 20}}
        done = nested.run(bundle)
        assert done.exit_code == 1
        assert 'controller "pids" not available' in done.stderr
        assert "delegate pids" in done.stderr
    finally:
        (own.parent / "cgroup.subtree_control").write_text("+pids")


@pytest.fixture
def user(oci):
    """Return the runtime of a user."""
    with rootless(oci.command) as runtime:
        yield runtime


def test_a_user_divides_what_was_delegated(user: Rootless, own, image):
    for file in (".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
        os.chown(own / file, UID, UID)
    user.cgroup = f"echo $$ >{own}/cgroup.procs"
    bundle = show(users_bundle(user, image), "pids.max")
    bundle.config["mounts"] = [
        one for one in bundle.config["mounts"] if one.get("options") != ["ro"]
    ]
    bundle.linux["resources"] = {"pids": {"limit": 20}}
    done = user.run(bundle.args("cat", "/sys/fs/cgroup/pids.max"))
    assert (done.exit_code, done.stdout.strip()) == (0, "20"), done.stderr
    assert (own / LEAF).exists()


def test_limits_of_a_user_without_a_cgroup_are_refused_with_what_was_asked(user, image):
    bundle = users_bundle(user, image)
    bundle.linux["resources"] = {"pids": {"limit": 20}}
    done = user.try_create(bundle, user.new_id())
    assert done.exit_code == 1
    # The words of runc, of which each version has its own.
    assert (
        "rootless needs no limits + no cgrouppath when no permission is granted" in done.stderr
        or "cannot set pids limit: container could not join or create cgroup" in done.stderr
    )
    assert "delegate" in done.stderr
    assert user.kept() == []
