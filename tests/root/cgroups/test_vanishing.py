"""What changes between a decision and its effect ends in one error, and leaves nothing."""

from __future__ import annotations

import os
import subprocess

import pytest

from nestbox.errors import LaunchError
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.runtime.cgroup import limits
from tests.root.cgroups.places import made, unified


@pytest.fixture
def own():
    """Give a cgroup for containers."""
    with made(f"nestbox-test-{os.urandom(4).hex()}") as directory:
        yield directory


@pytest.fixture
def child():
    """Give a process to be moved."""
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def spec(parent) -> CgroupSpec:
    return CgroupSpec(version=2, parent=str(parent), settings=())


def test_a_cgroup_that_goes_before_a_container_is_made_in_it(own):
    own.rmdir()
    with pytest.raises(LaunchError, match="vanished") as raised:
        limits.create(spec(own), "web")
    own.mkdir()
    assert str(own) in str(raised.value)


def test_a_cgroup_that_fills_before_a_container_is_made_in_it(own):
    (own / "cgroup.max.descendants").write_text("0")
    with pytest.raises(LaunchError, match="leaves no room"):
        limits.create(spec(own), "web")
    assert not os.path.exists(limits.directory_of(spec(own), "web"))


def test_a_cgroup_of_a_container_that_goes_before_its_process_comes(own, child):
    limits.create(spec(own), "web")
    os.rmdir(limits.directory_of(spec(own), "web"))
    with pytest.raises(LaunchError, match="vanished"):
        limits.enter(spec(own), "web", child)


def test_a_cgroup_that_became_invalid_before_its_process_comes(own, child):
    """Beside a threaded one none of type domain can hold processes."""
    limits.create(spec(own), "web")
    (own / "threads").mkdir()
    (own / "threads" / "cgroup.type").write_text("threaded")
    with pytest.raises(LaunchError, match="invalid type"):
        limits.enter(spec(own), "web", child)


def test_a_cgroup_of_the_same_name_is_nobodys_to_take(own):
    directory = limits.directory_of(spec(own), "web")
    os.mkdir(directory)
    with pytest.raises(LaunchError, match="exists"):
        limits.create(spec(own), "web")
    assert os.path.isdir(directory)


def test_controllers_that_are_not_there_any_more_are_told(own):
    wanted = CgroupSpec(version=2, parent=str(own), settings=(("nothing.max", "1"),))
    with pytest.raises(LaunchError, match=r"nothing\.max"):
        limits.create(wanted, "web")
    assert str(unified()) in limits.directory_of(wanted, "web")
