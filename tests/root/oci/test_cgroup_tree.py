"""Cgroups of a container: made, entered, frozen, killed and removed, on a real kernel."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest

from nestbox.errors import LaunchError
from nestbox.policy.config.cgroup_sub import sub_cgroup
from nestbox.runtime.cgroup import apply, freezer, ownership, tree
from nestbox.runtime.cgroup.files import Kept
from nestbox.runtime.cgroup.processes import kill_all, processes
from nestbox.runtime.cgroup.removal import remove
from tests.root.oci.cgroups import begin, directories_left, located, memberships, process

BOTH = pytest.mark.parametrize("version", [1, 2])


@BOTH
def test_a_process_is_in_every_hierarchy_and_nothing_is_left_after(version):
    with located(version) as location, process() as child:
        assert location.made
        apply.make(location, ())
        tree.enter(location, child.pid)
        found = memberships(child.pid)
        for key, directory in location.directories.items():
            assert directory == location.mounts[key] + found[key]
        assert processes(location) == (child.pid,)
        kill_all(location, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        remove(location)
        assert directories_left(location) == []
        assert not tree.exists(location)


@BOTH
def test_the_parent_stays_as_long_as_another_container_is_in_it(version):
    with located(version) as first:
        apply.make(first, ())
        parent = os.path.dirname(first.main)
        with located(version, path=f"/{os.path.basename(parent)}/other") as second:
            assert second.made == ()
            apply.make(second, ())
            remove(first)
            assert tree.exists(second)
        # Whoever made it removes it, when it is asked to again.
        remove(first)
        assert not os.path.exists(parent)


@BOTH
def test_cgroups_that_the_container_made_go_with_it(version):
    with located(version) as location:
        apply.make(location, ())
        os.makedirs(f"{location.main}/a/b/c")
        os.makedirs(f"{location.main}/d")
        remove(location)
        assert directories_left(location) == []


@BOTH
def test_the_state_as_json_is_enough_to_remove_it(version):
    with located(version) as location, process() as child:
        apply.make(location, ())
        tree.enter(location, child.pid)
        kept = Kept(msgspec.json.decode(msgspec.json.encode(location)))
        assert processes(kept) == (child.pid,)
        kill_all(kept, signal.SIGKILL)
        child.wait()
        remove(kept)
        assert directories_left(location) == []


def test_removing_a_cgroup_with_a_process_says_where_it_is():
    with located(2) as location, process() as child:
        apply.make(location, ())
        tree.enter(location, child.pid)
        with pytest.raises(LaunchError, match="unable to remove container's cgroup") as caught:
            remove(location)
        assert location.main in caught.value.remedy
        assert child.poll() is None


@BOTH
def test_a_cgroup_in_use_or_frozen_is_refused(version):
    with located(version) as location, process() as child:
        apply.check_unused(location)
        apply.make(location, ())
        apply.check_unused(location)
        tree.enter(location, child.pid)
        with pytest.raises(LaunchError, match="container's cgroup is not empty: 1 process"):
            apply.check_unused(location)
        kill_all(location, signal.SIGKILL)
        child.wait()
        freezer.freeze(location)
        with pytest.raises(LaunchError, match="container's cgroup unexpectedly frozen"):
            apply.check_unused(location)
        freezer.thaw(location)


@BOTH
def test_freezing_stops_every_process_until_it_is_thawed(version):
    with located(version) as location, process("while :; do :; done & wait") as child:
        apply.make(location, ())
        tree.enter(location, child.pid)
        begin(child)
        assert not freezer.is_frozen(location)
        freezer.freeze(location)
        assert freezer.is_frozen(location)
        first = _ticks(processes(location))
        assert _ticks(processes(location)) == first
        freezer.thaw(location)
        assert not freezer.is_frozen(location)


def _ticks(pids: tuple[int, ...]) -> list[bytes]:
    found = []
    for pid in pids:
        with open(f"/proc/{pid}/stat", "rb") as file:
            found.append(b" ".join(file.read().rpartition(b")")[2].split()[11:13]))
    return found


@BOTH
def test_freezing_holds_against_processes_that_fork_all_the_time(version):
    with located(version) as location, process("while :; do /bin/true; done") as child:
        apply.make(location, ())
        tree.enter(location, child.pid)
        begin(child)
        for _ in range(20):
            freezer.freeze(location)
            before = processes(location)
            assert processes(location) == before
            freezer.thaw(location)


@BOTH
@pytest.mark.parametrize("frozen", [False, True])
def test_a_kill_reaches_all_of_a_tree_that_forks(version, frozen):
    script = "for i in 1 2 3 4; do (while :; do /bin/true; done) & done; echo on; wait"
    with located(version) as location, process(script) as child:
        apply.make(location, ())
        tree.enter(location, child.pid)
        begin(child)
        assert child.stdout.readline() == "on\n"
        if frozen:
            freezer.freeze(location)
        kill_all(location, signal.SIGKILL)
        child.wait()
        remove(location)
        assert directories_left(location) == []


def test_a_kill_of_the_version_1_cgroup_does_not_need_the_unified_one():
    with located(1) as location, process("(exec sleep 1000) & wait") as child:
        alone = msgspec.structs.replace(
            location,
            directories={key: path for key, path in location.directories.items() if key},
            mounts={key: path for key, path in location.mounts.items() if key},
        )
        apply.make(alone, ())
        tree.enter(alone, child.pid)
        begin(child)
        kill_all(alone, signal.SIGKILL)
        child.wait()
        remove(alone)


@BOTH
def test_another_signal_is_sent_to_each_process(version):
    script = "trap 'echo caught; exit 7' USR1; sleep 1000 & echo on; wait"
    with located(version) as location, process(script) as child:
        apply.make(location, ())
        tree.enter(location, child.pid)
        begin(child)
        assert child.stdout.readline() == "on\n"
        kill_all(location, signal.SIGUSR1)
        assert child.stdout.readline() == "caught\n"
        assert child.wait() == 7


@BOTH
def test_processes_of_cgroups_below_are_listed_too(version):
    with located(version) as location, process() as child:
        apply.make(location, ())
        key = "" if version == 2 else "devices"
        os.mkdir(f"{location.directories[key]}/below")
        tree.enter(location, child.pid)
        tree.enter_directory(f"{location.directories[key]}/below", child.pid)
        assert processes(location) == (child.pid,)
        assert processes(location, recursive=False) == ()


def test_no_process_of_ours_is_killed_for_one_that_we_cannot_see():
    """A process outside of our pid namespace is listed as 0, which kill(2) takes for our group."""
    with located(2) as location:
        apply.make(location, ())
        assert processes(location) == ()
        kill_all(location, signal.SIGKILL)


@BOTH
def test_an_exec_can_go_to_a_cgroup_below(version):
    with located(version) as location, process() as child:
        apply.make(location, ())
        for directory in dict.fromkeys(location.directories.values()):
            os.mkdir(f"{directory}/sub")
        if version == 1:
            for name in ("cpus", "mems"):
                _copy(location.directories["cpuset"], f"cpuset.{name}")
        tree.enter(sub_cgroup(location, ["sub"]), child.pid)
        assert processes(location, recursive=False) == ()
        found = memberships(child.pid)
        assert all(found[key].endswith("/inner/sub") for key in location.directories)
        with pytest.raises(LaunchError, match="unable to apply cgroup configuration"):
            tree.enter(sub_cgroup(location, ["none"]), child.pid)


def _copy(directory: str, name: str) -> None:
    with open(f"{directory}/{name}") as source, open(f"{directory}/sub/{name}", "w") as target:
        target.write(source.read())


def test_a_process_is_found_where_it_moved_to():
    with located(2) as location, process() as child:
        apply.make(location, ())
        os.mkdir(f"{location.main}/leaf")
        tree.enter_directory(f"{location.main}/leaf", child.pid)
        assert tree.directory_of_process(location, child.pid) == f"{location.main}/leaf"
        assert tree.directory_of_process(location, 1 << 22) is None


def test_only_version_2_can_be_born_into():
    with located(1) as location:
        apply.make(location, ())
        assert tree.open_directory(location) is None
    with located(2) as location:
        apply.make(location, ())
        fd = tree.open_directory(location)
        assert os.path.samestat(os.fstat(fd), os.stat(location.main))
        os.close(fd)


def test_a_delegated_cgroup_belongs_to_its_user_but_for_the_limits():
    with located(2) as location:
        apply.make(location, ())
        ownership.give_to(location, 1234)
        mine = {name for name in os.listdir(location.main) if _owner(location.main, name) == 1234}
        assert {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} <= mine
        assert not {"cgroup.max.depth", "cgroup.freeze", "cgroup.kill"} & mine
        assert os.stat(location.main).st_uid == 1234


def _owner(directory: str, name: str) -> int:
    return os.stat(f"{directory}/{name}").st_uid
