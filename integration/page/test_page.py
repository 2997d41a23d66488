"""The page of doctor as its readers use it: search, copy, dark mode, keys, a narrow screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

_SECONDS = 10


def rows(page: Chrome) -> list[WebElement]:
    """Return the rows of capabilities that are shown."""
    return [row for row in page.find_elements(By.CSS_SELECTOR, "tr.row") if row.is_displayed()]


def ground(page: Chrome) -> str:
    color: str = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    return color


def press(page: Chrome, *keys: str) -> None:
    ActionChains(page).send_keys(*keys).perform()


def scheme(page: Chrome, name: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": name}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def test_every_capability_has_a_row(page: Chrome) -> None:
    assert len(rows(page)) == 41
    assert page.find_element(By.ID, "count").text == "41 of 41"


@pytest.mark.parametrize(
    ("words", "expected"),
    [("sys_admin", ["21 CAP_SYS_ADMIN"]), ("CAP_SYS boot", ["22 CAP_SYS_BOOT"]), ("no such", [])],
)
def test_search_leaves_what_has_all_words(page: Chrome, words: str, expected: list[str]) -> None:
    page.find_element(By.ID, "search").send_keys(words)
    names = [row.find_element(By.TAG_NAME, "th").text for row in rows(page)]
    assert names == expected


def test_keyboard_alone_finds_and_opens_a_row(page: Chrome) -> None:
    press(page, "/")
    assert page.switch_to.active_element.get_attribute("id") == "search"
    press(page, "cap_sys_", Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    row = page.switch_to.active_element
    assert row.find_element(By.TAG_NAME, "th").text == "17 CAP_SYS_RAWIO"
    press(page, Keys.ENTER)
    assert row.get_attribute("aria-expanded") == "true"
    why = page.execute_script("return arguments[0].nextElementSibling", row)
    assert "not in the outer bounding set" in why.text
    press(page, Keys.ENTER)
    assert not why.is_displayed()


def test_escape_ends_the_search(page: Chrome) -> None:
    press(page, "/", "kill", Keys.ESCAPE)
    assert len(rows(page)) == 41


def test_remedy_is_copied_as_it_stands(page: Chrome) -> None:
    origin = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.execute_cdp_cmd("Browser.grantPermissions", origin)
    remedy = page.find_element(By.CSS_SELECTOR, ".remedy")
    remedy.find_element(By.CSS_SELECTOR, "button.copy").click()
    told = page.find_element(By.ID, "told")
    WebDriverWait(page, _SECONDS).until(lambda _: told.text)
    assert told.text == "Copied"
    copied = page.execute_async_script(
        "navigator.clipboard.readText().then(arguments[arguments.length - 1])"
    )
    assert copied == remedy.find_element(By.TAG_NAME, "pre").get_attribute("textContent")


def test_dark_mode_follows_the_system_and_the_button(page: Chrome) -> None:
    scheme(page, "light")
    light = ground(page)
    scheme(page, "dark")
    dark = ground(page)
    assert light != dark
    button = page.find_element(By.ID, "theme")
    button.click()
    assert ground(page) == light
    page.refresh()
    assert ground(page) == light  # it is remembered
    page.find_element(By.ID, "theme").click()
    assert ground(page) == dark


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_colours_have_enough_contrast(page: Chrome, color_scheme: str) -> None:
    scheme(page, color_scheme)
    weak = page.execute_script(CONTRAST)
    assert weak == []


def test_nothing_is_wider_than_400_pixels(page: Chrome) -> None:
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 400
        assert page.find_element(By.ID, "search").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_page_is_readable_without_its_script(page: Chrome, tmp_path: Path) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.refresh()
        assert len(rows(page)) == 41
        assert page.find_element(By.CSS_SELECTOR, ".remedy pre").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_picture_of_the_page(
    page: Chrome, color_scheme: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    scheme(page, color_scheme)
    directory = Path(request.config.getoption("--screenshots") or tmp_path)
    file = directory / f"doctor-{color_scheme}.png"
    assert page.save_screenshot(str(file))
    assert file.read_bytes().startswith(b"\x89PNG")


# The contrast of each text with what lies below it, by the formula of WCAG 2.2; 4.5 is its AA.
CONTRAST = """
const numbers = (text) => text.match(/[0-9.]+/g).map(Number);
const light = (rgb) => {
  const [r, g, b] = rgb.slice(0, 3).map((c) => c / 255).map(
    (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const below = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const rgba = numbers(getComputedStyle(one).backgroundColor);
    if (rgba.length < 4 || rgba[3] > 0) return rgba;
  }
  return [255, 255, 255];
};
const weak = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !element.checkVisibility() || element.tagName === "SCRIPT") continue;
  const a = light(numbers(getComputedStyle(element).color)), b = light(below(element));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) weak.push(`${element.tagName} ${element.textContent.slice(0, 30)} ${ratio}`);
}
return weak;
"""
