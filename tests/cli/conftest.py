"""The command as a program of its own, with state and storage that only one test uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nestbox as library

_START = "from nestbox.cli.main import main; main()"


class Program:
    """The command `nestbox` in a directory of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.directory = base / "here"
        self.directory.mkdir()
        self.command = base / "bin" / "nestbox"
        self.command.parent.mkdir()
        self.command.write_text(f"#!{sys.executable}\n{_START}\n")
        self.command.chmod(0o755)
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("NESTBOX_") and key not in {"COLUMNS", "NO_COLOR"}
        } | {
            "NESTBOX_ROOT": str(base / "state"),
            "NESTBOX_STORAGE": str(base / "storage"),
            "XDG_CONFIG_HOME": str(base / "config"),
            "PYTHONPATH": str(Path(library.__file__).parents[1]),
            "PATH": f"{self.command.parent}:{os.environ['PATH']}",
        }

    def __call__(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; standard input is empty."""
        defaults = {
            "stdin": None if "input" in settings else subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "cwd": self.directory,
            "env": self.environment,
            "timeout": 60,
        } | settings
        return subprocess.run([str(self.command), *arguments], check=False, **defaults)

    def left_behind(self) -> list[str]:
        """Return what is still there of containers, records of finished ones aside."""
        state = self.base / "state"
        layers = self.base / "storage" / "layers"
        found = [path for path in state.glob("*") if path.name != "@records" and path.is_dir()]
        return sorted(str(path) for path in [*found, *layers.glob("*")])


@pytest.fixture
def nestbox(tmp_path: Path) -> Program:
    return Program(tmp_path)
