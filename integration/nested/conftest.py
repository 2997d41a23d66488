"""Engines in containers of nestbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.engines import runtimes
from integration.engines.dockerd import IMAGE, Docker
from integration.engines.enclosure import CGROUPS, Enclosure
from integration.engines.inside import nested


def _cgroups() -> set[str]:
    """Return the cgroups that nestbox made, and those of engines below any of ours."""
    return {str(path) for path in CGROUPS.rglob("*") if path.name.startswith("nestbox-")}


@pytest.fixture(scope="session")
def place() -> Iterator[Enclosure]:
    """Return a place of these engines' own; nothing of them is left in it."""
    enclosure = Enclosure()
    before = _cgroups()
    yield enclosure
    left = _cgroups() - before
    enclosure.close()
    assert not left


@pytest.fixture(scope="session")
def inner(place: Enclosure, layer: Path) -> Iterator[Docker]:
    """Return a dockerd in a container of nestbox; its client is outside, at a shared socket."""
    around = nested(f"--volume={place.place}:{place.place}", "--env=NOTIFY_SOCKET", "--env=PATH")
    docker = Docker(place, runtimes.find("runc"), around=around, network=True)
    docker("import", layer, IMAGE)
    yield docker
    docker.close()


@pytest.fixture
def docker(inner: Docker) -> Iterator[Docker]:
    """Return that dockerd without containers, before and after."""
    yield inner
    inner.remove_all()
