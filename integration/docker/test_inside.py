"""nestbox inside containers of docker: what starts, what is refused, and why.

The image is empty: /usr and this tree are mounted into the containers, so that what was built is
what runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.engines import images
from integration.engines.dockerd import Docker

TREE = Path(__file__).parents[2]
IMAGE = "empty:1"
ADMIN = ("--cap-add=SYS_ADMIN",)
UNFILTERED = (*ADMIN, "--security-opt=seccomp=unconfined")


@pytest.fixture(scope="module")
def empty(daemon: Docker, enclosure) -> str:
    """Return an image in which a mounted /usr is found."""
    root = enclosure.place / "empty"
    for name in "usr etc tmp root proc dev sys run var/lib".split():
        (root / name).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    daemon("import", images.pack(root, enclosure.place / "empty.tar"), IMAGE)
    return IMAGE


@pytest.fixture
def inside(docker, empty, root):
    """Return a function that runs nestbox in a container with these flags of docker's."""

    def call(*arguments, flags):
        volumes = ("-v=/usr:/usr:ro", f"-v={TREE}:{TREE}:ro", f"-v={root}:/rootfs")
        program = f"{TREE}/.venv/bin/nestbox"
        return docker.run(*volumes, *flags, empty, program, *arguments, check=False)

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
    "with SYS_ADMIN alone the filter is still in the way, and named": (
        ADMIN,
        _run("--", "id"),
        125,
        "pivot_root",
    ),
    "with SYS_ADMIN and no filter the default profile runs": (
        UNFILTERED,
        _run("--", "grep", "CapBnd", "/proc/self/status"),
        0,
        "a80425fb",
    ),
    "what the engine did not give is refused by name": (
        UNFILTERED,
        _run("--cap-add", "SYS_BOOT", "--", "id"),
        125,
        "CAP_SYS_BOOT",
    ),
    "the remedy is the engine's own flag": (
        UNFILTERED,
        _run("--cap-add", "SYS_BOOT", "--", "id"),
        125,
        "docker run --cap-add SYS_BOOT",
    ),
    "what the engine dropped is left out of the default profile and told": (
        (*UNFILTERED, "--cap-drop=MKNOD"),
        _run("--", "id"),
        0,
        "CAP_MKNOD",
    ),
    "a limit that cannot be enforced is refused": (
        UNFILTERED,
        _run("--memory", "64m", "--", "id"),
        125,
        "not writable",
    ),
    "the present root works over docker's overlay": (
        UNFILTERED,
        ("run", "--", "id"),
        0,
        "uid=0",
    ),
}


@pytest.mark.parametrize(("flags", "arguments", "status", "words"), CASES.values(), ids=CASES)
def test_nestbox_inside(inside, flags, arguments, status, words):
    done = inside(*arguments, flags=flags)
    assert done.status == status, done
    assert words in done.out + done.err
