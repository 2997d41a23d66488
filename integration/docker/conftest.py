"""One dockerd for all tests of docker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines.dockerd import IMAGE, Docker
from integration.engines.enclosure import Enclosure
from integration.engines.runtimes import EngineRuntime
from integration.engines.terminal import Terminal


@pytest.fixture(scope="session")
def daemon(enclosure: Enclosure, engine_runtime: EngineRuntime, layer: Path) -> Iterator[Docker]:
    """Return a dockerd with a network of its own, whose default runtime is the one under test."""
    docker = Docker(enclosure, engine_runtime, network=True)
    docker("import", layer, IMAGE)
    yield docker
    docker.close()


@pytest.fixture
def docker(daemon: Docker) -> Iterator[Docker]:
    """Return the dockerd without containers, before and after."""
    yield daemon
    daemon.remove_all()


@pytest.fixture
def terminal(docker: Docker):
    """Return a function that runs docker on a terminal."""
    opened: list[Terminal] = []

    def call(*words: str) -> Terminal:
        opened.append(docker.terminal(*words))
        return opened[-1]

    yield call
    for one in opened:
        one.close()
