"""The environments as `nestbox doctor --record` sees them: files for tests without root."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from nestbox.outer.facts import OuterEnvironment
from nestbox.outer.recording import load
from tests.root.nesting.session import Session
from tests.users import TREE

_DIRECTORY: Final = TREE / "tests/environments/nesting"
_INSIDE: Final = "/tmp/recording.json"


def file_of(name: str) -> Path:
    """Return the file with the recording of an environment."""
    return _DIRECTORY / f"{name}.json"


def observe(session: Session) -> OuterEnvironment:
    """Return what doctor records in an environment."""
    done = session.call("nestbox", "doctor", "--output", "json", "--record", _INSIDE)
    text = session.call("cat", _INSIDE).out
    assert text, f"nothing was recorded: {done}"
    return load(text.encode())


def keep(name: str, environment: OuterEnvironment) -> None:
    """Write a recording, without white space: it is for programs."""
    _DIRECTORY.mkdir(parents=True, exist_ok=True)
    file_of(name).write_bytes(msgspec.json.encode(environment) + b"\n")
