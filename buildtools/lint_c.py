"""The C part of ``make check``: three compilers, three analysers, the layout; any finding fails."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob

from buildtools.executor import HARDENING, LANGUAGE, WARNINGS, compiler
from buildtools.executor import sources as executor_sources

_DIRECTORIES = ("nestbox", "bench", "integration", "tests")
_FLAGS = (*LANGUAGE, *WARNINGS, *HARDENING, "-Werror", "-I.")
# Handing a descriptor on under a fixed number, by dup2, is taken for a leak.
_GCC_ANALYZER = ("-fanalyzer", "-Wno-analyzer-fd-leak")
_CLANG_ANALYZER = (
    "--analyzer-output",
    "text",
    "-Xanalyzer",
    "-analyzer-werror",
    # vfork is chosen where it is used: a launch must not copy the page tables of its caller.
    "-Xanalyzer",
    "-analyzer-disable-checker=security.insecureAPI.vfork",
)
_CPPCHECK = (
    "--quiet",
    "--std=c11",
    "--enable=warning,portability,performance",
    "--inline-suppr",
    "--error-exitcode=1",
)


def files(pattern: str) -> list[str]:
    """Return the files of the tree's C directories that match a pattern."""
    return sorted(
        path for where in _DIRECTORIES for path in glob(f"{where}/**/{pattern}", recursive=True)
    )


def commands(scratch: str) -> list[list[str]]:
    """Return the command lines to run; output that a compiler insists on goes to a directory."""
    found = [
        [*compiler(), *_FLAGS, "-c", source, "-o", os.path.join(scratch, f"own{number}.o")]
        for number, source in enumerate(executor_sources())
    ]
    for number, source in enumerate(files("*.c")):
        output = ["-c", source, "-o", os.path.join(scratch, f"{number}.o")]
        found.append(["gcc", *_FLAGS, *_GCC_ANALYZER, *output])
        found.append(["clang", *_FLAGS, "-c", source, "-o", f"{output[-1]}.clang"])
        found.append(["clang", "--analyze", *_FLAGS, *_CLANG_ANALYZER, source])
    if sources := files("*.c"):
        found.append(["cppcheck", *_CPPCHECK, *sources])
        formatter = os.path.join(os.path.dirname(sys.executable), "clang-format")
        found.append([formatter, "--dry-run", "-Werror", *sources, *files("*.h")])
    return found


def run(command: list[str]) -> str:
    """Return nothing if a command succeeds, else it and what it said."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        return f"{shlex.join(command)}\n{error}\n"
    return f"{shlex.join(command)}\n{done.stdout}\n" if done.returncode else ""


def main() -> int:
    """Run all commands, print what failed and return the exit status."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [text for text in pool.map(run, commands(scratch)) if text]
    sys.stderr.write("".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
