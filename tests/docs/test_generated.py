"""The made pages of docs/reference say what the program's tables say, and no page leads nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from docs import generate
from docs.markdown import anchor

DOCS = Path(generate.__file__).parent
ROOT = DOCS.parent
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SCREEN_LINES = 90  # more than this and a page needs a list of its contents
_TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_FILE_NAME = re.compile(r"`((?:nestbox|profiles|tests|docs|buildtools|bench)/[\w./-]+)`")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return generate.pages()


@pytest.mark.parametrize("name", generate.NAMES_OF_PAGES)
def test_a_made_page_is_what_the_program_says(made: dict[str, str], name: str) -> None:
    written = (generate.REFERENCE / name).read_text(encoding="utf-8")
    assert written == made[name], "run: python -m docs.generate"


def test_every_cause_of_a_missing_capability_is_explained() -> None:
    assert generate.unexplained_causes() == set()


def test_everything_in_the_reference_is_made() -> None:
    by_tests = {"environments.md"}  # tests/root/nesting/test_peers.py compares it
    found = {path.name for path in generate.REFERENCE.iterdir()}
    assert found == {*generate.NAMES_OF_PAGES, *by_tests}


@pytest.mark.parametrize("name", [x for x in generate.NAMES_OF_PAGES if x.endswith(".json")])
def test_a_schema_is_a_right_one(made: dict[str, str], name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(made[name]))


@pytest.mark.parametrize("file", sorted((ROOT / "tests/environments").glob("*.json")), ids=str)
def test_recordings_are_as_their_schema_says(made: dict[str, str], file: Path) -> None:
    schema = json.loads(made["environment.schema.json"])
    jsonschema.validate(json.loads(file.read_bytes()), schema)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {anchor(heading) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target, place in _LINK.findall(text):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{target} does not exist"
        assert not place or place in anchors(path), f"{target}#{place} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_long_page_has_a_list_of_its_contents(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if len(text.splitlines()) <= _SCREEN_LINES:
        return
    assert re.search(r"^- \[.*\]\(#", text, re.MULTILINE), "longer than a screen"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for name in _FILE_NAME.findall(text):
        assert "NAME" in name or (ROOT / name).exists(), f"{name} does not exist"
    for file, test in _TEST_NAME.findall(text):
        if test:
            source = (ROOT / file).read_text(encoding="utf-8")
            assert f"def {test}(" in source, f"{file} has no {test}"
