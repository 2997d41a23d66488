"""Recorded environments by name, and golden texts beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nestbox.doctor.shipped import Shipped, load_all
from nestbox.outer import recording
from nestbox.outer.facts import OuterEnvironment

HERE = Path(__file__).parent
RECORDINGS = sorted(path.stem for path in (HERE / "recordings").glob("*.json"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``recorded`` once for each recording."""
    if "recorded" in metafunc.fixturenames:
        metafunc.parametrize("recorded", RECORDINGS)


@pytest.fixture(scope="session")
def shipped() -> Shipped:
    return load_all()


@pytest.fixture
def load() -> Callable[[str], OuterEnvironment]:
    """Return a function from the name of a recording to its environment."""

    def loaded(name: str) -> OuterEnvironment:
        return recording.load((HERE / "recordings" / f"{name}.json").read_bytes())

    return loaded


@pytest.fixture
def is_golden() -> Callable[[str, str], None]:
    """Return a function that compares a text with the golden one of that name."""

    def compare(name: str, text: str) -> None:
        file = HERE / "golden" / f"{name}.txt"
        if os.environ.get("NESTBOX_UPDATE_GOLDEN") == "1":
            file.write_text(text)
        assert text == file.read_text()

    return compare
