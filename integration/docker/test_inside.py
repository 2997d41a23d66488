"""nestbox inside containers of docker: what starts, what is refused, and what to change.

The image is empty: /usr and this tree are mounted into the containers, so that what was built is
what runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.engines import runtimes
from integration.engines.dockerd import Docker
from integration.engines.enclosure import Enclosure
from integration.engines.inside import (
    IMAGE,
    NESTBOX,
    empty_archive,
    make_writable,
    starts_after,
    volumes,
)

ADMIN = ("--cap-add=SYS_ADMIN",)
UNFILTERED = ("--security-opt=seccomp=unconfined",)
REMAPPED = 300000


@pytest.fixture(scope="module")
def empty(daemon: Docker, enclosure) -> str:
    """Return an image in which a mounted /usr is found."""
    daemon("import", empty_archive(enclosure.place), IMAGE)
    return IMAGE


@pytest.fixture
def inside(docker, empty, root):
    """Return a function that runs nestbox in a container with these flags of docker's."""

    def call(*arguments, flags):
        return docker.run(*volumes(root), *flags, empty, NESTBOX, *arguments, check=False)

    return call


def _run(*words):
    return ("run", "--rootfs", "/rootfs", *words)


CASES = {
    "doctor recognizes docker": ((), ("doctor",), 1, "in docker"),
    "doctor names what to change": ((), ("doctor",), 1, "cap-add SYS_ADMIN"),
    "a plain container is refused with the calls that its filter stops": (
        (),
        _run("--", "id"),
        125,
        "the outer seccomp filter answers",
    ),
    "with SYS_ADMIN the filter is open, but for one call that can be done without": (
        ADMIN,
        _run("--", "grep", "CapBnd", "/proc/self/status"),
        0,
        "a80425fb",
    ),
    "a privileged container is told what can be undone for want of that call": (
        ADMIN,
        _run("--privileged", "--", "id"),
        0,
        "root.entry",
    ),
    "what the engine did not give is refused by name": (
        ADMIN,
        _run("--cap-add", "SYS_BOOT", "--", "id"),
        125,
        "CAP_SYS_BOOT",
    ),
    "the remedy is the engine's own flag": (
        ADMIN,
        _run("--cap-add", "SYS_BOOT", "--", "id"),
        125,
        "docker run --cap-add SYS_BOOT",
    ),
    "what the engine dropped is left out of the default profile and told": (
        (*ADMIN, "--cap-drop=MKNOD"),
        _run("--", "id"),
        0,
        "CAP_MKNOD",
    ),
    "the present root works over docker's overlay": (ADMIN, ("run", "--", "id"), 0, "uid=0"),
    "without a filter, a user namespace does without SYS_ADMIN": (
        UNFILTERED,
        _run("--", "cat", "/proc/self/uid_map"),
        0,
        "user-namespace",
    ),
    "masks of docker stay where /proc is bound": (
        UNFILTERED,
        _run("--", "cat", "/proc/keys"),
        0,
        "mount /proc",
    ),
    "a pid namespace by name is refused for want of a whole /proc": (
        UNFILTERED,
        _run("--pid=private", "--", "id"),
        125,
        "systempaths=unconfined",
    ),
    "an unmask by name is refused where docker masks": (
        UNFILTERED,
        _run("--security-opt=unmask=/proc/keys", "--", "id"),
        125,
        "/proc/keys",
    ),
}


@pytest.mark.parametrize(("flags", "arguments", "status", "words"), CASES.values(), ids=CASES)
def test_nestbox_inside(inside, flags, arguments, status, words):
    done = inside(*arguments, flags=flags)
    assert done.status == status, done
    assert words in done.out + done.err


# What docker is told, and how many refusals there are until it starts: a root that cannot be
# written to shows itself last.
RESTRICTED = {
    "nothing": ((), 1),
    "no capabilities": (("--cap-drop=ALL",), 1),
    "a read-only root": (("--read-only",), 2),
    "a read-only root without capabilities": (("--read-only", "--cap-drop=ALL"), 2),
    "a user": (("--user=1000",), 1),
    "a user without capabilities": (("--user=1000", "--cap-drop=ALL"), 1),
    "no new privileges": (("--security-opt=no-new-privileges",), 1),
    "no filter": (UNFILTERED, 0),
    "no filter and no capabilities": ((*UNFILTERED, "--cap-drop=ALL"), 1),
    "no filter and a user": ((*UNFILTERED, "--user=1000"), 0),
    "SYS_ADMIN alone": (("--cap-drop=ALL", *ADMIN), 1),
    "SYS_ADMIN alone, no filter": (("--cap-drop=ALL", *ADMIN, *UNFILTERED), 0),
    "no masks and no filter": ((*UNFILTERED, "--security-opt=systempaths=unconfined"), 0),
}


@pytest.mark.parametrize(("flags", "refusals"), RESTRICTED.values(), ids=RESTRICTED)
def test_a_refusal_names_the_least_that_is_enough(inside, root, flags, refusals):
    make_writable(root)
    starts_after(lambda *given: inside(*_run("--", "id", "-u"), flags=given), flags, refusals)


@pytest.mark.parametrize("profile", ["minimal", "privileged"])
def test_that_is_enough_for_every_profile(inside, root, profile):
    make_writable(root)
    job = _run(f"--profile={profile}", "--", "id", "-u")
    starts_after(lambda *given: inside(*job, flags=given), (), 1)


@pytest.fixture(scope="module")
def remapped() -> Iterator[Docker]:
    """Return a dockerd whose containers are in user namespaces."""
    place = Enclosure()
    for name in ("subuid", "subgid"):
        (place.place / name).write_text(f"daemon:{REMAPPED}:65536\n")
        place.run("mount", "--bind", place.place / name, f"/etc/{name}")
    options = ("--userns-remap=daemon",)
    docker = Docker(place, runtimes.find("runc"), name="remapped", options=options)
    docker("import", empty_archive(place.place), IMAGE)
    yield docker
    docker.close()
    place.close()


@pytest.mark.parametrize(
    ("flags", "status"), [((), 125), (ADMIN, 0), (UNFILTERED, 0), ((*ADMIN, *UNFILTERED), 0)]
)
def test_in_a_remapped_container_the_same_holds(remapped, root, flags, status):
    words = (NESTBOX, "run", "--rootfs=/rootfs:overlay", "--", "cat", "/proc/self/uid_map")
    done = remapped.run(*volumes(root), *flags, IMAGE, *words, check=False)
    assert done.status == status, done
    if not status:
        assert done.words[:2] in (["0", str(REMAPPED)], ["0", "0"])
