"""The commands that the guides show do what the guides say they do.

A block of ``sh`` whose lines begin with "$ " is run, and what is printed is compared with what is
shown below each command: white space, ids, pids, sets and times aside, and "…" stands for anything.
A block of ``yaml`` that begins with "# FILE" becomes that file. The blocks of one page share a
directory and run in their order.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest

import nestbox
from nestbox.kernel.capabilities import BY_NAME
from nestbox.kernel.syscalls import thread_rights
from nestbox.outer.facts import Subject
from nestbox.outer.probe import observe

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *(f"docs/guide/{path.name}" for path in (ROOT / "docs/guide").glob("*.md")))

_BLOCK = re.compile(
    r"(?:^<!-- on (?P<engine>\w+) without (?P<absent>CAP_\w+) -->\n)?"
    r"^```(?P<kind>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_MAKEFILE = "test:\n\t@echo tests passed\n"
_SECONDS = 60

# What differs from one run to the next, or from one machine to another.
_VOLATILE = (
    (re.compile(r"\b[0-9a-f]{16}\b"), "SET"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\bpid [0-9]+( \(\w+\))?"), "PID"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}Z?"), "TIME"),
)


class Command(NamedTuple):
    """One command line, and what is shown below it."""

    line: str
    shown: str


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a block; a line that ends with a backslash goes on."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        match = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, re.DOTALL)
        assert match is not None
        yield Command(match[1], match[2])


def comparable(text: str, *, sets: bool) -> str:
    """Return a text without what differs; ``sets`` keeps the sets, which a guide may promise."""
    text = " ".join(text.split())
    for pattern, name in _VOLATILE:
        if name != "SET" or not sets:
            text = pattern.sub(name, text)
    return text


def matches(shown: str, printed: str) -> bool:
    """Whether what was printed is what is shown, where it is not left open by "…"."""
    # The sets of the program are what a guide is about; the outer ones are the machine's.
    sets = "CapBnd:" in shown or "CapEff:" in shown
    parts = comparable(shown, sets=sets).split("…")
    pattern = r"\s*.*\s*".join(re.escape(part.strip()) for part in parts)
    return re.fullmatch(pattern, comparable(printed, sets=sets)) is not None


@cache
def is_here(engine: str | None, absent: str | None) -> bool:
    """Whether this is a machine of that kind that lacks the capability; None is any."""
    if engine is None or absent is None:
        return True
    found = observe(frozenset({Subject.ENGINE}), state_directory="/var/lib/nestbox").engine
    lacks = not thread_rights().bounding >> BY_NAME[absent] & 1
    return lacks and found is not None and found.kind == engine


class Shell:
    """Runs command lines one after another; each knows the exit code of the one before."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "here"
        self.code = 0
        binaries = directory / "bin"
        binaries.mkdir()
        command = binaries / "nestbox"
        command.write_text(f"#!{sys.executable}\nfrom nestbox.cli.main import main; main()\n")
        command.chmod(0o755)
        self.directory.mkdir()
        (self.directory / "Makefile").write_text(_MAKEFILE)
        self.environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(nestbox.__file__).parents[1]),
            "HOME": str(directory),
            "COLUMNS": "80",
            "NESTBOX_ROOT": str(directory / "state"),
            "NESTBOX_STORAGE": str(directory / "storage"),
        }

    def __call__(self, line: str) -> str:
        """Run a line, and return what it wrote to either stream."""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.code}); {line}"],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        self.code = done.returncode
        return done.stdout


@pytest.fixture(scope="module", autouse=True)
def plain_launches_are_complete(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where the shipped profiles are weakened, with what nestbox says of that."""
    shell = Shell(tmp_path_factory.mktemp("plain"))
    told = shell("nestbox run -- true; nestbox run --profile minimal -- true")
    if told:
        pytest.skip(f"the guides show launches with nothing missing: {told}")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_what_its_commands_print(page: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # some commands run as another user
    shell = Shell(tmp_path)
    for block in _BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
        text = block["text"]
        if block["kind"] == "yaml" and (name := re.match(r"# ([\w.-]+\.yaml)\n", text)):
            (shell.directory / name[1]).write_text(text)
        if block["kind"] != "sh" or not is_here(block["engine"], block["absent"]):
            continue
        for command in commands(text):
            printed = shell(command.line)
            assert matches(command.shown, printed), f"$ {command.line}\n{printed}"


def test_a_record_is_as_its_schema_says(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell("nestbox run --privileged --provenance record.json -e SECRET=x -- true")
    schema = json.loads((ROOT / "docs/reference/record.schema.json").read_bytes())
    record = json.loads((shell.directory / "record.json").read_bytes())
    jsonschema.validate(record, schema)
    assert record["exit_code"] == 0


def test_the_python_of_the_first_guide_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs/guide/first-run.md").read_text(encoding="utf-8")
    (code,) = (block["text"] for block in _BLOCK.finditer(text) if block["kind"] == "python")
    shell = Shell(tmp_path)
    (shell.directory / "example.py").write_text(code)
    assert shell(f"{sys.executable} example.py") == ""
    assert shell.code == 0


def test_a_page_that_shows_something_else_is_noticed() -> None:
    assert matches("a … c\n", "a  b\nc")
    assert not matches("a … c\n", "a b d")
    assert not matches("hello\n", "hello world")
    assert not matches("CapEff: 0000000000000001\n", "CapEff: 0000000000000003")
