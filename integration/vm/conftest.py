"""Tests of this repository, run by pytest in virtual machines; each result is one of this session.

`--vm-tests` names files or directories, `--vm-kernel` the kernels; -k and the like select as usual.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.vm import kernels
from integration.vm.guest import virtme_ng
from integration.vm.image import make_image
from integration.vm.session import Session, collect

DEFAULT_TESTS = ("tests/root",)  # and with it tests/root/oci and tests/root/nesting
# What shows most in a few minutes: every capability, and cgroup v2.
QUICK_TESTS = (
    "tests/root/test_capabilities.py",
    "tests/root/oci/test_cgroup_exec.py",
    "tests/root/oci/test_cgroup_containers.py",
)
SECONDS = 4 * 3600
CHOSEN = pytest.StashKey[list[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vm", "virtual machines")
    group.addoption(
        "--vm-kernel", action="append", choices=tuple(kernels.SUITES), help="all by default"
    )
    group.addoption(
        "--vm-tests", action="append", metavar="PATH", help=f"default: {' '.join(DEFAULT_TESTS)}"
    )
    group.addoption("--vm-quick", action="store_true", help="a selection that takes minutes")
    group.addoption("--vm-cache", type=Path, help="where kernels are kept")
    group.addoption("--vm-keep", type=Path, help="keep what the guests wrote in this directory")
    group.addoption(
        "--vm-seconds", type=float, default=SECONDS, help=f"limit of a guest, default {SECONDS}"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each test of the selection, for each kernel."""
    if "guest_test" not in metafunc.fixturenames:
        return
    config = metafunc.config
    names = config.getoption("--vm-kernel") or tuple(kernels.SUITES)
    quick = QUICK_TESTS if config.getoption("--vm-quick") else DEFAULT_TESTS
    tests = collect(config.getoption("--vm-tests") or list(quick))
    pairs = [(name, test) for name in dict.fromkeys(names) for test in tests]
    metafunc.parametrize("guest_test", pairs, ids=[f"{name}-{test}" for name, test in pairs])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember what is left of the selection: a guest runs no more than that."""
    session.config.stash[CHOSEN] = [
        item.callspec.params["guest_test"]
        for item in session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and "guest_test" in item.callspec.params
    ]


class Guests:
    """The guest of the kernel that is being tested, and one disk for all of them."""

    def __init__(self, config: pytest.Config, place: Path) -> None:
        self._config = config
        self._place = place
        self._image: Path | None = None
        self._kernel = ""
        self._session: Session | None = None

    def of(self, kernel: str) -> Session:
        """Return the session of a kernel; that of another one ends."""
        if self._session is None or self._kernel != kernel:
            self.close()
            self._session = self._boot(kernel)
            self._kernel = kernel
        return self._session

    def _boot(self, name: str) -> Session:
        cache = self._config.getoption("--vm-cache") or kernels.default_cache()
        kernel = kernels.find(name, cache)
        if self._image is None:
            self._image = make_image(self._place / "disk")
        tests = [test for chosen, test in self._config.stash[CHOSEN] if chosen == name]
        seconds = self._config.getoption("--vm-seconds")
        return Session(kernel, self._image, self._place / name, tests, seconds=seconds)

    def close(self) -> None:
        """End the guest that runs, and keep what it wrote if that is wanted."""
        if self._session is None:
            return
        done = self._session.close()
        self._session = None
        keep = self._config.getoption("--vm-keep")
        if keep:
            shutil.copytree(self._place / self._kernel, keep / self._kernel, dirs_exist_ok=True)
            (keep / self._kernel / "console").write_text(done.console)


@pytest.fixture(scope="session")
def guests(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guests]:
    """Return the guests; the last one ends here."""
    if os.geteuid() != 0:
        pytest.skip("the guest's disk is made of this machine's files, as root")
    try:
        virtme_ng()
    except kernels.Unavailable as error:
        pytest.skip(str(error))
    place = tmp_path_factory.mktemp("vm")
    found = Guests(request.config, place)
    yield found
    found.close()
    shutil.rmtree(place)
