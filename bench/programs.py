"""The benchmark's own C programs, built for one run, and the programs of the peers on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).parent
_FLAGS: Final = ("-std=c11", "-O2", "-static", "-Wall", "-Wextra")


class NotAvailableError(Exception):
    """A program that is not on this machine; its text is the line to show."""


def build(compiler: str, source: str, output: Path) -> Path:
    """Return the static program compiled from bench/source.

    Raises:
        NotAvailableError: the compiler is missing or refuses the source.
    """
    path = shutil.which(compiler)
    if path is None:
        raise NotAvailableError(f"{compiler} is not on PATH")
    command = [path, *_FLAGS, "-o", str(output), str(_SOURCES / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotAvailableError(f"{source} does not compile: {done.stderr.strip()}")
    return output


def find(name: str, variable: str) -> str:
    """Return the absolute path of a program: the one the variable names, else that on PATH.

    Raises:
        NotAvailableError: there is none.
    """
    wanted = os.environ.get(variable) or name
    path = shutil.which(wanted)
    if path is None:
        raise NotAvailableError(f"{wanted} is not on PATH ({variable}= names another)")
    return str(Path(path).absolute())


def version(path: str, *arguments: str) -> str:
    """Return the first line that a program prints about its version, or "unknown"."""
    command = [path, *(arguments or ("--version",))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else "unknown"
