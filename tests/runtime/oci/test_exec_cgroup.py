"""The cgroup of a further process: the container's own, and when the first process's one instead.

``start`` stands for the kernel, whose answers on version 2 are not to be had on every machine.
"""

from __future__ import annotations

import errno
import os

import pytest

from nestbox.errors import LaunchError, StateError
from nestbox.policy.config.cgroup_location import CgroupLocation
from nestbox.runtime.oci.exec_cgroup import spawn_in_unified


@pytest.fixture
def location(tmp_path):
    """Return a container's own cgroup below what looks like a mounted hierarchy."""
    with open("/proc/self/cgroup") as file:
        unified = [line for line in file.read().splitlines() if line.startswith("0::/")]
    if not unified:
        pytest.skip("no hierarchy of cgroup v2 is mounted here")
    ours = tmp_path / unified[0][4:]
    ours.mkdir(parents=True, exist_ok=True)
    own = tmp_path / "own"
    own.mkdir()
    return CgroupLocation(version=2, directories={"": str(own)}, mounts={"": str(tmp_path)})


def kernel(refusals):
    """Return a start that is refused for some names of cgroups, and what it was asked."""
    asked = []

    def start(cgroup):
        place = os.readlink(f"/proc/self/fd/{cgroup}") if cgroup >= 0 else ""
        asked.append(os.path.basename(place))
        error = refusals.get(asked[-1])
        if error:
            raise OSError(error, os.strerror(error))
        return place

    return start, asked


def start_in(location, refusals, *, named=False):
    start, asked = kernel(refusals)
    return spawn_in_unified(location, os.getpid(), named=named, start=start), asked


def test_it_is_the_containers_own(location):
    place, asked = start_in(location, {})
    assert place == location.main
    assert asked == ["own"]


def test_one_that_hands_on_a_controller_is_left_for_that_of_the_first_process(location):
    place, asked = start_in(location, {"own": errno.EBUSY})
    assert place != location.main
    assert place.startswith(location.mounts[""])
    assert asked[0] == "own"
    assert len(asked) == 2


def test_one_that_was_removed_is_left_for_that_of_the_first_process(location):
    os.rmdir(location.main)
    place, _ = start_in(location, {})
    assert place.startswith(location.mounts[""])


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.EOPNOTSUPP])
def test_nothing_else_is_a_reason_to_go_elsewhere(location, error):
    with pytest.raises(LaunchError, match=r"error adding pid of .* to cgroups") as caught:
        start_in(location, {"own": error})
    assert os.strerror(error).lower() in caught.value.cause


def test_one_that_is_named_is_entered_or_refused(location):
    with pytest.raises(LaunchError, match=r"error adding pid of .* to cgroups") as caught:
        start_in(location, {"own": errno.EBUSY}, named=True)
    assert "device or resource busy" in caught.value.cause
    os.rmdir(location.main)
    with pytest.raises(StateError, match="cannot enter the cgroup") as caught:
        start_in(location, {}, named=True)
    assert caught.value.cause == "no such file or directory"


def test_a_process_that_is_refused_for_itself_says_so(location):
    with pytest.raises(OSError, match=os.strerror(errno.EAGAIN)):
        start_in(location, {"own": errno.EAGAIN})


def test_elsewhere_there_is_nothing_to_be_born_in():
    place, asked = start_in(CgroupLocation(version=1), {})
    assert (place, asked) == ("", [""])
