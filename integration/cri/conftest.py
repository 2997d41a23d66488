"""Pods, on the containerd that is started once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from integration.engines.containerd import Containerd
from integration.engines.cri import Cri, Pod, connected
from integration.engines.runtimes import EngineRuntime


@pytest.fixture(scope="session")
def cri(containerd: Containerd) -> Iterator[Cri]:
    """Return the interface of that containerd."""
    with connected(containerd.socket) as connection:
        yield connection


@pytest.fixture
def pods(cri: Cri, engine_runtime: EngineRuntime, tmp_path) -> Iterator[Callable[..., Pod]]:
    """Return a function that runs a sandbox under the runtime that is tested."""
    made: list[Pod] = []
    numbers = count()

    def run(handler: str = engine_runtime.name, **config: Any) -> Pod:
        logs = tmp_path / f"logs-{next(numbers)}"
        logs.mkdir()
        pod = Pod(cri, handler, logs, **config)
        made.append(pod)
        return pod

    yield run
    for pod in made:
        pod.close()


@pytest.fixture
def pod(pods: Callable[..., Pod]) -> Pod:
    """Return a plain sandbox."""
    return pods()
