"""kill -9 of create, start, exec and delete at every step and effect: force leaves nothing of it.

The whole of what a container is there for is looked at after each kill: cgroups, mounts, processes,
descriptors, and the root directory of the runtime.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time

import msgspec
import pytest

from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.runtime.oci import create as creation
from nestbox.runtime.oci import exec_plan
from nestbox.runtime.oci import execute as execution
from nestbox.runtime.oci.delete import delete
from nestbox.runtime.oci.launching import Launching
from nestbox.runtime.oci.requests import CreateRequest, ExecRequest, Options
from nestbox.runtime.oci.start import start
from nestbox.runtime.oci.store import NoContainer, Store
from tests.root.oci.faults import kill_after_step, kill_before_effect, killed

MOST_EFFECTS = 400  # no command has as many
MOST_STEPS = 400


class Silent:
    """A log that nobody reads."""

    def warning(self, message):
        """Forget a message."""

    info = debug = warning


@pytest.fixture
def whole(bundle):
    """Return a bundle with something of everything that a container can leave behind."""
    bundle.linux["namespaces"].append({"type": "cgroup"})
    bundle.linux["resources"]["pids"] = {"limit": 100}
    bundle.linux["maskedPaths"] = ["/proc/kcore"]
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    bundle.config["mounts"] += [
        {"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
    ]
    hook = {"path": "/bin/true"}
    bundle.config["hooks"] = {
        kind: [hook]
        for kind in (
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart",
            "poststop",
        )
    }  # fmt: skip
    return bundle


class Case:
    """One container that is killed at many points, and what must not be left of it."""

    def __init__(self, oci, bundle, surroundings, orphans):
        self.oci = oci
        self.bundle = bundle
        self.directory = str(bundle.write())
        self.surroundings = surroundings
        self.orphans = orphans
        self.options = Options(root=str(oci.root))
        self.name = oci.new_id()

    def create(self):
        """Create the container in this process."""
        request = CreateRequest(id=self.name, bundle=self.directory)
        creation.create(request, self.options, Silent())

    def start(self):
        """Start it."""
        start(str(self.oci.root), self.name, Silent())

    def execute(self):
        """Run one more process in it."""
        request = ExecRequest(id=self.name, args=("sleep", "1000"), detach=True)
        execution.execute(request, self.options, Silent())

    def delete(self):
        """Remove it, whatever state it is in."""
        delete(str(self.oci.root), self.name, force=True, log=Silent())

    def cgroups(self):
        """Return the directories of cgroups that are the container's."""
        return [
            f"{directory}/{name}"
            for directory, names, _ in os.walk("/sys/fs/cgroup")
            for name in names
            if name == self.name
        ]

    def end_and_reap(self):
        """End what runs in the container, whose parent we are, as an engine's shim would be.

        The first process is not gone before all others of its namespace are reaped.
        """
        self.oci.ok("kill", "--all", self.name, "KILL")
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)

    def hold_nothing_new(self, before, where):
        """Compare what there is with what was there before, apart from what others took away."""
        after = self.surroundings()
        for kind in dataclasses.fields(before):
            new = getattr(after, kind.name) - getattr(before, kind.name)
            assert not new, f"{where}: {kind.name}"

    def hold_that_nothing_is_left(self, where):
        """Delete by force, and compare with what was there before."""
        done = self.oci.call("delete", "--force", self.name)
        assert done.exit_code == 0, f"{where}: {done.stderr}"
        self.orphans()
        assert self.cgroups() == [], where
        assert [x for x in os.listdir(self.oci.root) if not _may_stay(x)] == [], where
        with pytest.raises(NoContainer):
            Store(str(self.oci.root)).load(self.name)


def _may_stay(name):
    # The directory of a creation that was killed before it had a name; the next ones remove it.
    return name.startswith((".new-", "@"))


@pytest.fixture
def case(oci, whole, surroundings, orphans):
    return Case(oci, whole, surroundings, orphans)


def points(most):
    """Yield numbers; to come to the last one means that the command has no end."""
    yield from range(most)
    raise AssertionError("there is no end of it")


def steps_of_create(case, done):
    def command():
        with kill_after_step(creation, "compile_launch", Launching, done):
            case.create()

    return command


def test_create_killed_after_each_step(case):
    case.create()
    case.delete()
    case.orphans()
    before = case.surroundings()
    for done in points(MOST_STEPS):
        was_killed = killed(steps_of_create(case, done))
        case.hold_that_nothing_is_left(f"after step {done}")
        case.hold_nothing_new(before, f"after step {done}")
        if not was_killed:
            assert done > 40
            break


def test_create_killed_before_each_effect(case):
    case.create()
    case.delete()
    case.orphans()
    before = case.surroundings()
    for number in points(MOST_EFFECTS):

        def command(number=number):
            with kill_before_effect(number):
                case.create()

        was_killed = killed(command)
        case.hold_that_nothing_is_left(f"before effect {number}")
        case.hold_nothing_new(before, f"before effect {number}")
        if not was_killed:
            assert number > 10
            break


def test_start_killed_before_each_effect(case):
    before = case.surroundings()
    for number in points(MOST_EFFECTS):
        case.create()

        def command(number=number):
            with kill_before_effect(number):
                case.start()

        was_killed = killed(command)
        case.hold_that_nothing_is_left(f"before effect {number}")
        case.hold_nothing_new(before, f"before effect {number}")
        if not was_killed:
            assert number >= 1
            break


def test_exec_killed_after_each_step(case):
    case.create()
    case.start()
    for done in points(MOST_STEPS):

        def command(done=done):
            with kill_after_step(exec_plan, "compile_exec", execution._Exec, done):
                case.execute()

        if not killed(command):
            assert done > 8
            break
        assert case.oci.status(case.name) == "running", f"after step {done}"
    case.end_and_reap()
    case.hold_that_nothing_is_left("after exec")


def test_exec_killed_before_each_effect(case):
    case.create()
    case.start()
    for number in points(MOST_EFFECTS):

        def command(number=number):
            with kill_before_effect(number):
                case.execute()

        if not killed(command):
            break
        assert case.oci.status(case.name) == "running", f"before effect {number}"
    case.end_and_reap()
    case.hold_that_nothing_is_left("after exec")


@pytest.mark.parametrize("running", [False, True], ids=["created", "running"])
def test_delete_killed_before_each_effect(case, running):
    before = case.surroundings()
    for number in points(MOST_EFFECTS):
        case.create()
        if running:
            case.start()

        def command(number=number):
            with kill_before_effect(number):
                case.delete()

        was_killed = killed(command)
        case.hold_that_nothing_is_left(f"before effect {number}")
        case.hold_nothing_new(before, f"before effect {number}")
        if not was_killed:
            assert number > 5
            break


def test_what_a_killed_creation_left_is_removed_with_time(case):
    """A directory without a name is removed by the next creation, once it is a minute old."""
    os.makedirs(case.oci.root, mode=0o700)
    left = case.oci.root / ".new-x-123"
    left.mkdir()
    (left / "lock").touch()
    old = time.time() - 3600
    os.utime(left, (old, old))
    case.create()
    assert not left.exists()


def test_the_location_is_kept_before_anything_is_made(case):
    """The state names each cgroup, so that whoever finds it can remove it."""
    case.create()
    kept = Store(str(case.oci.root)).load(case.name).state.cgroup
    location = msgspec.convert(kept, CgroupLocation)
    assert set(case.cgroups()) <= set(location.directories.values())
