"""The page of a recorded environment, open in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from integration.page.browser import browser, console_errors
from nestbox.doctor.forms.html import render_html
from nestbox.doctor.overview import overview
from nestbox.doctor.shipped import load_all
from nestbox.outer.recording import load

RECORDINGS = Path(__file__).parents[2] / "tests" / "doctor" / "recordings"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    if not shutil.which("chromedriver"):
        pytest.skip("chromium-driver is not installed; make test-page installs it")
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def page(chromium: Chrome, tmp_path: Path) -> Iterator[Chrome]:
    """Return the browser with the page of a container that docker made; it has no errors."""
    environment = load((RECORDINGS / "docker-default.json").read_bytes())
    file = tmp_path / "doctor.html"
    file.write_text(render_html(overview(environment, load_all())), "utf-8")
    chromium.set_window_size(1200, 900)
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chromium.get(file.as_uri())
    chromium.execute_script("localStorage.clear()")
    yield chromium
    assert console_errors(chromium) == []
