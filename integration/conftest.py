"""What the tests of engines share: the runtime they are about, and engines that start once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines import images, runtimes
from integration.engines.containerd import Containerd
from integration.engines.enclosure import PATH, Enclosure
from integration.engines.podman import Podman
from integration.engines.runtimes import EngineRuntime

# What the tests of a directory start.
PROGRAMS = {
    "docker": "dockerd",
    "podman": "podman",
    "buildah": "buildah",
    "containerd": "containerd",
    "cri": "containerd",
    "nested": "dockerd",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine-runtime",
        default="nestbox",
        choices=runtimes.NAMES,
        help="the runtime that engines call; a peer shows whether the tests themselves are right",
    )
    parser.addoption("--screenshots", metavar="DIR", help="keep pictures of doctor's page there")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, with what it lacks; `make test-engines` installs that."""
    for item in items:
        program = PROGRAMS.get(item.path.parent.name)
        if program is None:
            continue
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason=f"{program} is started by the test, as root"))
        elif not shutil.which(program, path=PATH):
            item.add_marker(pytest.mark.skip(reason=f"{program} is not installed"))


@pytest.fixture(scope="session")
def engine_runtime(request: pytest.FixtureRequest) -> EngineRuntime:
    """Return the runtime that the tests are about."""
    return runtimes.find(request.config.getoption("--engine-runtime"))


@pytest.fixture(scope="session")
def enclosure() -> Iterator[Enclosure]:
    """Return the place in which all engines run."""
    place = Enclosure()
    yield place
    place.close()


@pytest.fixture(scope="session")
def root(enclosure: Enclosure) -> Path:
    """Return a root directory with busybox."""
    return images.make_root(enclosure.place / "root")


@pytest.fixture(scope="session")
def layer(root: Path, enclosure: Enclosure) -> Path:
    """Return that root as a tar."""
    return images.pack(root, enclosure.place / "layer.tar")


@pytest.fixture(scope="session")
def image(layer: Path, enclosure: Enclosure) -> Path:
    """Return that root as an OCI image in a tar."""
    return images.oci_archive(layer, enclosure.place / "image.tar")


@pytest.fixture(scope="session")
def containerd(
    enclosure: Enclosure, engine_runtime: EngineRuntime, image: Path, layer: Path
) -> Iterator[Containerd]:
    """Return a containerd with the images that its tests use."""
    daemon = Containerd(enclosure, engine_runtime)
    pause = images.oci_archive(layer, enclosure.place / "pause.tar", images.PAUSE, images.HOLD)
    for namespace, archive in (("default", image), ("k8s.io", image), ("k8s.io", pause)):
        daemon.ctr("images", "import", archive, namespace=namespace)
    yield daemon
    daemon.close()


@pytest.fixture(scope="session")
def podman_store(
    enclosure: Enclosure, engine_runtime: EngineRuntime, layer: Path
) -> Iterator[Podman]:
    """Return the store of podman and buildah with the image of the tests."""
    store = Podman(enclosure, engine_runtime)
    store.import_images(layer)
    yield store
    store.close()
