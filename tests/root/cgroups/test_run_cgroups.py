"""`nestbox run` with limits, in each kind of surroundings that decides where its cgroup can be."""

from __future__ import annotations

import os

import pytest

from nestbox.policy.cgroup_nesting import LEAF
from tests.root.cgroups.places import inside, made, processes, require_controllers

pytestmark = pytest.mark.usefixtures("nothing_left")

# Only version 2 in sight, as in most containers.
ONLY_V2 = "umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && "
SHOW = "cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
MIB = 1 << 20


@pytest.fixture
def own():
    """Give a cgroup of version 2 with controllers, for an outer container."""
    require_controllers()
    with made(f"nestbox-test-{os.getpid()}", controllers=True) as directory:
        yield directory


def within(script: str) -> list[str]:
    """Return the words to put before a command: a shell changes its mounts first."""
    return ["unshare", "-m", "sh", "-c", f'{script} exec "$@"', "sh"]


def test_in_a_namespace_of_its_own_limits_are_met_beside_a_leaf(own, nestbox, image):
    flags = ("--memory", "48m", "--pids-limit", "20", "--cpus", "0.5", "--rootfs", str(image))
    done, record = nestbox.recorded(*flags, "--", "sh", "-c", SHOW, before=inside(own))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split() == ["0::/", str(48 * MIB), "20"]
    (chosen,) = {
        one["chosen"].partition(", ")[2]
        for one in record["decisions"]
        if one["subject"] in {"cgroup.memory", "cgroup.pids", "cgroup.cpu"}
    }
    assert LEAF in chosen
    assert sorted(path.name for path in own.iterdir() if path.is_dir()) == [LEAF]
    assert set((own / "cgroup.subtree_control").read_text().split()) == {"cpu", "memory", "pids"}


def test_a_second_nestbox_finds_the_leaf_and_goes_beside_it(own, nestbox, image):
    nestbox.directory.mkdir()
    twice = '"$@" >/dev/null && exec "$@"'
    words = nestbox.arguments(
        "--pids-limit", "20", "--rootfs", str(image), "--", "cat", "/sys/fs/cgroup/pids.max"
    )
    done = nestbox.call([*inside(own), "sh", "-c", twice, "sh", *words])
    assert (done.exit_code, done.stdout.strip()) == (0, "20"), done.stderr


def test_what_systemd_manages_is_not_rearranged(own, nestbox, image):
    """In the first namespace the container goes below the root of the hierarchy instead."""
    scope = own / "session-1.scope"
    (own / "cgroup.subtree_control").write_text("+memory")
    scope.mkdir()
    words = ("--pids-limit", "20", "--rootfs", str(image), "--", "cat", "/sys/fs/cgroup/pids.max")
    done = nestbox.run(*words, before=inside(scope, namespace=False))
    assert (done.exit_code, done.stdout.strip()) == (0, "20"), done.stderr
    assert not (scope / LEAF).exists()


def test_what_systemd_delegates_is_divided(own, nestbox, image):
    scope = own / "job.scope"
    (own / "cgroup.subtree_control").write_text("+memory +pids")
    scope.mkdir()
    os.setxattr(scope, "user.delegate", b"1")
    words = ("--pids-limit", "20", "--rootfs", str(image), "--", "cat", "/sys/fs/cgroup/pids.max")
    done = nestbox.run(*words, before=inside(scope, namespace=False))
    assert (done.exit_code, done.stdout.strip()) == (0, "20"), done.stderr
    assert (scope / LEAF).exists()


def test_a_controller_that_is_not_delegated_is_named_with_its_file_and_remedy(own, nestbox, image):
    middle = own / "middle"
    (own / "cgroup.subtree_control").write_text("+memory")
    middle.mkdir()
    words = ("--pids-limit", "20", "--rootfs", str(image), "--", "true")
    refused = nestbox.run(*words, before=inside(middle))
    assert refused.exit_code == 125
    assert "pids" in refused.stderr
    assert "delegate pids" in refused.stderr
    assert not (middle / LEAF).exists()
    (own / "cgroup.subtree_control").write_text("+pids")
    assert nestbox.run(*words, before=inside(middle)).exit_code == 0


def test_a_cgroup_without_room_is_refused_by_name_and_met_after_the_remedy(own, nestbox, image):
    (own / "cgroup.max.descendants").write_text("1")
    words = ("--pids-limit", "20", "--rootfs", str(image), "--", "true")
    refused = nestbox.run(*words, before=inside(own))
    assert refused.exit_code == 125
    assert "cgroup.max.descendants" in refused.stderr
    assert not (own / LEAF).exists()
    (own / "cgroup.max.descendants").write_text("max")
    assert nestbox.run(*words, before=inside(own)).exit_code == 0


def test_a_threaded_cgroup_is_told_and_left_as_it_is(own, nestbox, image):
    (own / "threads").mkdir()
    (own / "threads" / "cgroup.type").write_text("threaded")
    words = ("--pids-limit", "20", "--rootfs", str(image), "--", "true")
    refused = nestbox.run(*words, before=inside(own))
    assert refused.exit_code == 125
    assert "of type 'domain threaded'" in refused.stderr
    assert not (own / LEAF).exists()


def test_a_limit_of_the_profile_is_recorded_as_not_enforced(own, nestbox, image):
    (own / "cgroup.max.descendants").write_text("1")
    words = ("--profile", "minimal", "--rootfs", str(image), "--", "true")
    done, record = nestbox.recorded(*words, before=inside(own))
    assert done.exit_code == 0, done.stderr
    outcomes = {one["outcome"] for one in record["decisions"] if one["subject"] == "cgroup.pids"}
    assert outcomes == {"weakened"}
    assert processes(own) == []  # nobody was moved, and all have ended


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("umount -l /sys/fs/cgroup &&", "no cgroup file system is mounted"),
        ("mount -t tmpfs none /sys/fs/cgroup &&", "no cgroup file system is mounted"),
        ("umount -l /sys/fs/cgroup && mount -t cgroup2 -o ro none /sys/fs/cgroup &&", "pids"),
    ],
    ids=["absent", "covered", "read-only"],
)
def test_a_named_limit_without_cgroups_is_refused_and_an_implied_one_recorded(
    nestbox, image, script, word
):
    flags = ("--rootfs", str(image), "--", "true")
    refused = nestbox.run("--pids-limit", "20", *flags, before=within(script))
    assert refused.exit_code == 125
    assert word in refused.stderr
    assert "try:" in refused.stderr
    done, record = nestbox.recorded("--profile", "minimal", *flags, before=within(script))
    assert done.exit_code == 0, done.stderr
    outcomes = {one["outcome"] for one in record["decisions"] if one["subject"] == "cgroup.pids"}
    assert outcomes == {"weakened"}


def test_a_file_system_that_never_answers_over_the_cgroups_stops_nobody(nestbox, image):
    """A mount of FUSE without a server: whoever looks below it waits for ever."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse: a file system that does not answer cannot be made here")
    silent = (
        "exec 9<>/dev/fuse && mount -i -t fuse -o "
        "fd=9,rootmode=40000,user_id=0,group_id=0 none /sys/fs/cgroup &&"
    )
    flags = ("--rootfs", str(image), "--", "true")
    refused = nestbox.run("--pids-limit", "20", *flags, before=within(silent))
    assert refused.exit_code == 125
    assert "no cgroup file system is mounted" in refused.stderr
    assert nestbox.run(*flags, before=within(silent)).exit_code == 0
