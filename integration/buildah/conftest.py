"""buildah, in the store that it shares with podman."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.engines.enclosure import Done
from integration.engines.images import NAME
from integration.engines.podman import Podman


@pytest.fixture
def buildah(podman_store: Podman) -> Iterator[Callable[..., Done]]:
    """Return a function that runs buildah with the runtime under test."""

    def call(*words: str | Path, check: bool = True) -> Done:
        return podman_store.command("buildah", *words, check=check)

    yield call
    call("rm", "--all")


@pytest.fixture
def container(buildah: Callable[..., Done]) -> str:
    """Return a working container."""
    return buildah("from", NAME).out.strip()


@pytest.fixture
def runtime(podman_store: Podman) -> str:
    """Return the flag that names the runtime, which `run` and `build` take alone."""
    return f"--runtime={podman_store.runtime.path}"
