"""nestbox inside containers of podman, whose filter allows more than docker's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.engines import runtimes
from integration.engines.enclosure import Enclosure
from integration.engines.inside import (
    IMAGE,
    NESTBOX,
    empty_archive,
    make_writable,
    starts_after,
    volumes,
)
from integration.engines.podman import Podman


@pytest.fixture(scope="module")
def podman(place: Enclosure) -> Iterator[Podman]:
    """Return podman with crun, and the image in which a mounted /usr is found."""
    engine = Podman(place, runtimes.find("crun"), name="podman-around")
    engine("import", empty_archive(place.place), IMAGE)
    yield engine
    engine.close()


@pytest.fixture
def inside(podman, root):
    """Return a function that runs nestbox in a container with these flags of podman's."""

    def call(*arguments, flags=()):
        return podman.run(*volumes(root), *flags, IMAGE, NESTBOX, *arguments, check=False)

    return call


def _run(*words):
    return ("run", "--rootfs", "/rootfs", *words)


# Flags of podman, and how many refusals there are until it starts.
RESTRICTED = {
    "nothing": ((), 0),
    "no capabilities": (("--cap-drop=ALL",), 1),
    "a read-only root": (("--read-only",), 0),
    "nothing that can be written to": (("--read-only", "--read-only-tmpfs=false"), 1),
    "a user": (("--user=1000",), 0),
    "a user without capabilities": (("--user=1000", "--cap-drop=ALL"), 0),
    "no new privileges": (("--security-opt=no-new-privileges",), 0),
    "no filter": (("--security-opt=seccomp=unconfined",), 0),
    "SYS_ADMIN": (("--cap-add=SYS_ADMIN",), 0),
    "privileged": (("--privileged",), 0),
    "no control groups": (("--cgroups=disabled",), 0),
    "mapped ids": (("--uidmap=0:400000:65536", "--gidmap=0:400000:65536"), 0),
    "mapped ids and SYS_ADMIN": (
        ("--uidmap=0:400000:65536", "--gidmap=0:400000:65536", "--cap-add=SYS_ADMIN"),
        0,
    ),
}


@pytest.mark.parametrize(("flags", "refusals"), RESTRICTED.values(), ids=RESTRICTED)
def test_it_starts_or_names_the_least_that_is_enough(inside, root, flags, refusals):
    make_writable(root)
    starts_after(lambda *given: inside(*_run("--", "id", "-u"), flags=given), flags, refusals)


@pytest.mark.parametrize("profile", ["default", "minimal", "privileged"])
def test_each_profile_starts_in_a_plain_container(inside, profile):
    done = inside(*_run("--profile", profile, "--", "cat", "/proc/self/uid_map"))
    assert done.status == 0, done
    assert "user-namespace" in done.err


def test_the_host_name_is_kept_and_told_or_refused_by_name(inside):
    done = inside(*_run("--", "hostname"), flags=["--hostname=around"])
    assert (done.status, done.out) == (0, "around\n"), done
    assert "sethostname EPERM" in done.err
    named = inside(*_run("--hostname=inner", "--", "hostname"))
    assert named.status == 125, named
    flags = ["--cap-add=SYS_ADMIN"]
    assert inside(*_run("--hostname=inner", "--", "hostname"), flags=flags).out == "inner\n"


def test_the_present_root_of_a_privileged_container(inside):
    done = inside("run", "--privileged", "--", "id", "-u", flags=["--privileged"])
    assert (done.status, done.out) == (0, "0\n"), done
