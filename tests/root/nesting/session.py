"""A command server inside an environment, and the test's end of it.

One interpreter serves all commands of an environment. `nestbox` is loaded in it beforehand and runs
in a forked child of it, which is the same code as the command's without the start of Python.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.root.nesting.description import Environment
from tests.root.nesting.tree import STATE, STORAGE
from tests.users import TREE

SECONDS = int(os.environ.get("NESTBOX_TEST_SECONDS", "60"))  # more in an emulated machine
_PATH = (
    f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One command; the first word `nestbox` is served from what is loaded."""

    words: tuple[str, ...]
    seconds: float = 30.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a command answered; a status of -1 is that it took too long."""

    status: int
    out: str
    err: str


class Session:
    """An environment while it exists: `with Session(description, directory) as session`."""

    def __init__(self, described: Environment, scratch: Path) -> None:
        self.described = described
        self._scratch = scratch
        self._errors = scratch / "errors"

    def __enter__(self) -> Session:
        description = self._scratch / "description.json"
        description.write_bytes(msgspec.json.encode(self.described))
        words = [sys.executable, "-m", "tests.root.nesting.enclosure", str(description)]
        words += [sys.executable, "-m", "tests.root.nesting.inside"]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=TREE,
                env=_variables(self.described),
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait(timeout=SECONDS)
            raise
        finally:
            self._process.stdout.close()

    def call(self, *words: str, seconds: float = SECONDS) -> Answer:
        """Return what a command inside answers."""
        self._process.stdin.write(msgspec.json.encode(Call(words=words, seconds=seconds)) + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], seconds + SECONDS)[0]:
            os.killpg(self._process.pid, 9)
            raise TimeoutError(f"{self.described.name}: no answer to {words}")
        line = self._process.stdout.readline()
        assert line, f"{self.described.name} was not made: {self._errors.read_text()}"
        return msgspec.json.decode(line, type=Answer)


def _variables(described: Environment) -> dict[str, str]:
    own = (
        {}
        if described.run_read_only or described.uid or described.ids == "one-id"
        else {"NESTBOX_ROOT": STATE}
    )
    if not own:
        own["NESTBOX_ROOT"] = "/tmp/state"
    return {
        **own,
        "NESTBOX_STORAGE": STORAGE,
        "PATH": _PATH,
        "HOME": "/tmp/home",
        "XDG_RUNTIME_DIR": "/tmp/home",
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
    }
