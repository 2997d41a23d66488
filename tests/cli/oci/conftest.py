"""`nestbox-runtime` as a program of its own, with a root that only one test uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "nestbox-runtime"


class Program:
    """The script as it is installed: its first line names the interpreter of this environment."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "run"
        self.log = base / "log"
        self.command = base / "nestbox-runtime"
        body = SCRIPT.read_text().partition("\n")[2]
        self.command.write_text(f"#!{sys.executable} -I\n{body}")
        self.command.chmod(0o755)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(base)}

    def __call__(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run a command line to its end; standard input is empty."""
        defaults = {
            "stdin": None if "input" in settings else subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "cwd": self.base,
            "env": self.environment,
            "timeout": 60,
        } | settings
        return subprocess.run([str(self.command), *arguments], check=False, **defaults)

    def rooted(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on a root directory of this test."""
        self.root.mkdir(exist_ok=True)
        return self("--root", str(self.root), *arguments, **settings)


@pytest.fixture
def runtime(tmp_path: Path) -> Program:
    return Program(tmp_path)
