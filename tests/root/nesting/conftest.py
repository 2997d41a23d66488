"""The environments of a test run: each is made once, and all its requests are made in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.root.nesting import cgroups
from tests.root.nesting.description import Environment
from tests.root.nesting.goldens import GOLDEN, REFERENCE, machine_class, wanted
from tests.root.nesting.matrix import Launch, launch_all
from tests.root.nesting.recordings import keep, observe
from tests.root.nesting.session import Session


@pytest.fixture(scope="session")
def enter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Environment], Session]:
    """Return a function that makes an environment: `with enter(description) as session`."""

    def make(described: Environment) -> Session:
        if described.needs and described.needs != cgroups.version():
            pytest.skip(f"cgroup {described.needs} is needed, and this machine has the other one")
        return Session(described, tmp_path_factory.mktemp(described.name))

    return make


@pytest.fixture(scope="session")
def launches(enter) -> Callable[[Environment], tuple[Launch, ...]]:
    """Return a function that makes every request in an environment, once."""
    made: dict[str, tuple[Launch, ...]] = {}

    def of(described: Environment) -> tuple[Launch, ...]:
        if described.name not in made:
            with enter(described) as session:
                made[described.name] = launch_all(session)
                if wanted() == GOLDEN and machine_class() == REFERENCE:
                    keep(described.name, observe(session))
        return made[described.name]

    return of
