"""What a launch loads: imports are the price of a command, so each costly one is kept out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each takes from half a millisecond to twenty of them, for nothing that a launch needs.
FORBIDDEN = {
    "argparse", "asyncio", "ast", "cffi", "configparser", "csv", "dataclasses", "datetime",
    "difflib", "docker", "email", "hashlib", "http", "importlib.metadata", "inspect", "json",
    "logging", "multiprocessing", "pathlib", "pickle", "pycparser", "random", "rich",
    "shutil", "socket", "ssl", "string", "subprocess", "tempfile", "textwrap", "tokenize",
    "traceback", "unittest", "urllib", "uuid", "yaml",
}  # fmt: skip


# What no command for engines may load. A light one stays without those below too: most of its time
# would be spent on them, and an engine calls it several times for each container.
FORBIDDEN_FOR_ENGINES = FORBIDDEN | {"click", "google.protobuf", "jeepney", "pyroute2"}
HEAVY = {"cffi", "collections", "contextlib", "enum", "msgspec", "re", "typing"}


def loaded(statement: str) -> set[str]:
    """Return the modules that an interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules), sep='\\n', file=sys.__stderr__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "NESTBOX_ROOT": "/nonexistent", "HOME": "/nonexistent"},
    )
    return set(done.stderr.split())


def added(statement: str, baseline: str) -> set[str]:
    """Return what a statement loads beside what its libraries load by themselves."""
    return {name for name in loaded(statement) - loaded(baseline)} & FORBIDDEN


@pytest.mark.parametrize(
    ("statement", "baseline"),
    [
        ("import nestbox", "pass"),
        ("import nestbox.runtime.run", "import msgspec"),
        ("import nestbox.api", "import msgspec"),
        ("import nestbox.oci.read, nestbox.oci.validate, nestbox.oci.features", "import msgspec"),
        ("import nestbox.cli.main", "pass"),
        ("import nestbox.cli.run, nestbox.flags.request", "import msgspec, click"),
    ],
)
def test_importing_loads_nothing_costly(statement: str, baseline: str) -> None:
    assert added(statement, baseline) == set()


def test_importing_nestbox_loads_no_dependency() -> None:
    assert not loaded("import nestbox") & {"msgspec", "click", "nestbox.api"}


def test_the_library_loads_no_click() -> None:
    assert "click" not in loaded("import nestbox.api")


def test_a_refused_command_loads_nothing_costly() -> None:
    """The whole command up to the decision, which needs neither rights nor a container."""
    call = "from nestbox.cli.main import run; run(['run', '--rootfs', '/', '--name', '', 'true'])"
    assert added(call, "import msgspec, click") == set()


@pytest.mark.root
def test_a_whole_launch_loads_nothing_costly(tmp_path: Path) -> None:
    root, storage = tmp_path / "state", tmp_path / "storage"
    call = (
        f"import os; os.environ['NESTBOX_ROOT'] = {str(root)!r};"
        f"os.environ['NESTBOX_STORAGE'] = {str(storage)!r};"
        "from nestbox.cli.main import run; assert run(['run', '--', 'true']) == 0"
    )
    # The second launch: compiled filters and trials are kept from the first one.
    loaded(call)
    assert added(call, "import msgspec, click") == set()


def engine_call(*words: str) -> str:
    """Return a statement that runs a command of `nestbox-runtime`."""
    return f"from nestbox.cli.oci.main import run; run('nestbox-runtime', {list(words)!r})"


@pytest.mark.parametrize(
    "words",
    [
        ("--version",), ("list",), ("list", "--format", "json"), ("state", "x"), ("start", "x"),
        ("kill", "x", "KILL"), ("delete", "x"), ("delete", "--force", "x"), ("pause", "x"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_light_command_of_an_engine_loads_next_to_nothing(words: tuple[str, ...]) -> None:
    found = loaded(engine_call(*words)) - loaded("pass")
    assert found & (HEAVY | FORBIDDEN_FOR_ENGINES) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "import nestbox.runtime.oci.create",
        "import nestbox.runtime.oci.run",
        "import nestbox.runtime.oci.execute",
        "import nestbox.runtime.oci.update",
        engine_call("features"),
        engine_call("exec", "x", "true"),
        engine_call("ps", "--format", "json", "x"),
    ],
)
def test_a_command_of_an_engine_loads_nothing_costly(statement: str) -> None:
    found = loaded(statement) - loaded("import msgspec")
    assert found & FORBIDDEN_FOR_ENGINES == set()
