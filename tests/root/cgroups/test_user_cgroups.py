"""Limits for a user without rights, who has been given cgroups: all, some of them, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nestbox.outer.cgroups import observe_cgroup
from nestbox.outer.sources import Sources
from nestbox.policy.cgroup_nesting import LEAF
from tests.root.cgroups.places import made, remove, require_controllers
from tests.root.driver import Driver
from tests.users import another_user

UID = 21078
DELEGATED = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")


class User(Driver):
    """The runtime as the user calls it, in cgroups that root puts it into first."""

    cgroups: tuple[Path, ...] = ()

    def run(self, *arguments, before=(), **options):
        enter = "".join(f"echo $$ > {one}/cgroup.procs && " for one in self.cgroups)
        words = ["sh", "-c", f'{enter} exec "$@"', "sh", *another_user(UID), *before]
        return super().run(*arguments, before=words, **options)


@pytest.fixture
def user(image):
    """Return the runtime of a user, with a root that is the user's too."""
    home = Path(tempfile.mkdtemp(prefix="nestbox-user-", dir="/var/tmp"))
    home.chmod(0o755)
    shutil.copytree(image, home / "rootfs", symlinks=True)
    (home / "nestbox").mkdir()
    subprocess.run(["chown", "-hR", f"{UID}:{UID}", home], check=True)
    command = (str(Path(sys.executable).with_name("nestbox")),)
    yield User(command=command, directory=home / "nestbox", prefix=f"u{os.urandom(4).hex()}")
    shutil.rmtree(home)


def limited(user: User, *flags: str, command: tuple[str, ...] = ("true",), **options):
    return user.run(
        *flags, "--rootfs", str(user.directory.parent / "rootfs"), "--", *command, **options
    )


def give(directory: Path, *files: str) -> None:
    """Give a cgroup and some of its files to the user."""
    for path in (directory, *(directory / file for file in files)):
        os.chown(path, UID, UID)


@pytest.fixture
def own():
    """Give a cgroup of version 2 with controllers, that the user's processes are in."""
    require_controllers()
    with made(f"nestbox-test-{os.getpid()}", controllers=True) as directory:
        yield directory


def test_a_delegated_cgroup_is_divided(own, user):
    give(own, *DELEGATED)
    user.cgroups = (own,)
    show = ("cat", "/sys/fs/cgroup/pids.max")
    done = limited(user, "--pids-limit", "20", command=show)
    assert (done.exit_code, done.stdout.strip()) == (0, "20"), done.stderr
    assert (own / LEAF).exists()
    user.cgroups = (own / LEAF,)
    done = limited(user, "--pids-limit", "30", command=show)
    assert (done.exit_code, done.stdout.strip()) == (0, "30"), done.stderr
    assert not (own / LEAF / LEAF).exists()


@pytest.mark.parametrize("missing", ["cgroup.procs", "cgroup.subtree_control"])
def test_a_file_that_is_not_delegated_is_named_and_the_remedy_works(own, user, missing):
    give(own, *(file for file in DELEGATED if file != missing))
    user.cgroups = (own,)
    refused = limited(user, "--pids-limit", "20")
    assert refused.exit_code == 125
    assert f"{missing} is not writable" in refused.stderr
    assert f"chown {UID}" in refused.stderr
    give(own, missing)
    assert limited(user, "--pids-limit", "20").exit_code == 0


def test_a_scope_of_the_users_systemd_is_not_rearranged(own, user):
    scope = own / "app-terminal.scope"
    (own / "cgroup.subtree_control").write_text("+pids")
    scope.mkdir()
    give(scope, *DELEGATED)
    user.cgroups = (scope,)
    refused = limited(user, "--pids-limit", "20")
    assert refused.exit_code == 125
    assert "the user's systemd" in refused.stderr
    assert not (scope / LEAF).exists()
    os.setxattr(scope, "user.delegate", b"1")
    assert limited(user, "--pids-limit", "20").exit_code == 0


def test_an_implied_limit_without_a_cgroup_is_recorded(user):
    place = str(user.directory.parent / "rootfs")
    done, record = user.recorded("--profile", "minimal", "--rootfs", place, "--", "true")
    assert done.exit_code == 0, done.stderr
    outcomes = {one["outcome"] for one in record["decisions"] if one["subject"] == "cgroup.pids"}
    assert outcomes == {"weakened"}


@pytest.fixture
def hierarchies():
    """Return a function that gives the user a cgroup of one hierarchy of version 1."""
    given = []

    def give_one(controller: str) -> Path:
        for one in observe_cgroup(Sources()).hierarchies:
            if one.version == 1 and controller in one.controllers:
                directory = Path(one.mountpoint, f"nestbox-test-{os.getpid()}")
                directory.mkdir()
                given.append(directory)
                give(directory, "cgroup.procs", "tasks")
                return directory
        pytest.skip(f"no mounted v1 hierarchy has the {controller} controller")

    yield give_one
    for directory in given:
        remove(directory)


def test_of_version_1_the_hierarchies_that_the_user_owns_are_used(hierarchies, user):
    user.cgroups = (hierarchies("pids"),)
    done = limited(user, "--pids-limit", "20", command=("cat", "/sys/fs/cgroup/pids/pids.max"))
    assert (done.exit_code, done.stdout.strip()) == (0, "20"), done.stderr


def test_of_version_1_the_hierarchy_that_is_not_the_users_is_named(hierarchies, user):
    user.cgroups = (hierarchies("pids"),)
    refused = limited(user, "--pids-limit", "20", "--memory", "64m")
    assert refused.exit_code == 125
    assert "--memory 64m" in refused.stderr
    assert "--pids-limit" not in refused.stderr
    assert f"delegate the cgroup to uid {UID}" in refused.stderr
    user.cgroups += (hierarchies("memory"),)
    assert limited(user, "--pids-limit", "20", "--memory", "64m").exit_code == 0
