"""One store for all tests of podman."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.engines.podman import Podman
from integration.engines.terminal import Terminal


@pytest.fixture
def podman(podman_store: Podman) -> Iterator[Podman]:
    """Return podman without containers, before and after."""
    yield podman_store
    podman_store.remove_all()


@pytest.fixture
def terminal(podman: Podman):
    """Return a function that runs podman on a terminal."""
    opened: list[Terminal] = []

    def call(*words: str) -> Terminal:
        opened.append(podman.terminal(*words))
        return opened[-1]

    yield call
    for one in opened:
        one.close()
