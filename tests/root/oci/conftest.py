"""Containers made by an OCI runtime: the runtime, and bundles for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.root.oci.bundle import Bundle
from tests.root.oci.driver import Oci, Voice


@pytest.fixture
def oci(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Oci]:
    """Return the runtime; what a test leaves is removed after it."""
    installed = str(Path(sys.executable).with_name("nestbox-runtime"))
    runtime = Oci(
        command=request.config.getoption("--oci-runtime") or installed,
        directory=tmp_path / "oci",
        prefix=f"t{os.urandom(4).hex()}",
    )
    yield runtime
    runtime.clean()


@pytest.fixture
def make_bundle(image: Path, tmp_path: Path) -> Callable[[], Bundle]:
    """Return a function that makes a bundle with a root of its own."""
    count = 0

    def make() -> Bundle:
        nonlocal count
        count += 1
        directory = tmp_path / f"bundle{count}"
        shutil.copytree(image, directory / "rootfs", symlinks=True)
        # Users of other ids have to reach the root.
        directory.chmod(0o755)
        return Bundle(directory)

    return make


@pytest.fixture
def bundle(make_bundle: Callable[[], Bundle]) -> Bundle:
    """Return a bundle of one test."""
    return make_bundle()


@pytest.fixture
def voice() -> Iterator[Voice]:
    """Return a pipe for the output of a container: ``oci.up(bundle, stdout=voice.writing)``."""
    pipe = Voice()
    yield pipe
    pipe.close()
