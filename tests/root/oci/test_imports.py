"""What commands load for a container that exists: an engine calls them for each one."""

from __future__ import annotations

import subprocess
import sys
from tempfile import TemporaryFile

import pytest

from tests.test_imports import FORBIDDEN_FOR_ENGINES, HEAVY

# The most modules that a command may load beside those of the interpreter and of its one library:
# each costs some 70 microseconds to find and to load, whatever is in it.
BUDGETS = {
    "create": 190, "exec": 145, "state": 28, "start": 32, "kill": 28, "delete": 37, "features": 36,
}  # fmt: skip

_START = "from nestbox.cli.oci.main import main; main()"


def loaded(oci, *words: str) -> set[str]:
    """Run a command of ours and return the modules that it has loaded."""
    command = [sys.executable, "-I", "-X", "importtime", "-c", _START, *oci.words(*words)[1:]]
    with TemporaryFile("w+") as file:  # a container that stays keeps a pipe open
        subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, check=True
        )
        file.seek(0)
        lines = [line for line in file if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def modules_of(statement: str) -> set[str]:
    """Return what an interpreter has loaded after a statement."""
    command = [sys.executable, "-I", "-X", "importtime", "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.fixture
def baseline() -> set[str]:
    """Return what the interpreter loads by itself."""
    return modules_of("pass")


@pytest.fixture
def library() -> set[str]:
    """Return what it loads with the library for values; that is more where more is installed."""
    return modules_of("import msgspec")


def test_the_light_commands_of_a_container(oci, bundle, baseline) -> None:
    if not oci.is_nestbox:
        pytest.skip("another runtime has no modules to look at")
    name = oci.create(bundle)
    calls = [("state", name), ("start", name), ("list",), ("kill", name, "KILL")]
    for words in calls:
        found = loaded(oci, *words) - baseline
        assert found & (FORBIDDEN_FOR_ENGINES | HEAVY) == set(), words
    oci.wait(name)
    assert (loaded(oci, "delete", name) - baseline) & (FORBIDDEN_FOR_ENGINES | HEAVY) == set()


def test_each_command_of_a_container_keeps_to_its_budget(oci, bundle, baseline, library) -> None:
    if not oci.is_nestbox:
        pytest.skip("another runtime has no modules to look at")
    oci.ok("delete", "--force", oci.create(bundle))  # what is kept for the next one is there now
    name = oci.new_id()
    counts = {
        words[0]: len(loaded(oci, *words) - baseline - library)
        for words in (
            ("create", "--bundle", str(bundle.directory), name),
            ("start", name),
            ("state", name),
            ("exec", name, "true"),
            ("kill", name, "KILL"),
        )
    }
    oci.wait(name)
    counts["delete"] = len(loaded(oci, "delete", name) - baseline - library)
    counts["features"] = len(loaded(oci, "features") - baseline - library)
    assert {word: count for word, count in counts.items() if count > BUDGETS[word]} == {}
