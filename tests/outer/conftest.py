"""Observation by a process of its own, under whatever command is put before it."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from nestbox.outer import recording

SCRIPT = """
import sys
import msgspec
from nestbox.errors import NestboxError
from nestbox.outer import probe, recording
from nestbox.outer.facts import Subject

subjects = frozenset(Subject(name) for name in msgspec.json.decode(sys.argv[1]))
try:
    found = probe.observe(subjects, state_directory=sys.argv[2])
except NestboxError as error:
    sys.exit(f"{type(error).__name__}|{error.what}|{error.cause}|{error.remedy}")
sys.stdout.buffer.write(recording.save(found))
"""


@pytest.fixture
def observe_under(tmp_path):
    """Return a function: the command before, the subjects -> the environment that is seen there."""

    def run(command, subjects, *, state_directory=None, environment=None):
        names = msgspec.json.encode(sorted(subjects)).decode()
        state = str(state_directory or tmp_path / "state")
        return subprocess.run(
            [*command, sys.executable, "-c", SCRIPT, names, state],
            capture_output=True,
            check=False,
            env={**os.environ, **(environment or {})},
        )

    def observe(command, subjects, **options):
        done = run(command, subjects, **options)
        assert done.returncode == 0, done.stderr.decode()
        return recording.load(done.stdout)

    observe.run = run
    return observe
