"""A whole run: each program of a suite against each runtime, one after the other."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from integration.conformance import process, rootless, scratch
from integration.conformance.suites import Result, Setting, Suite


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What one runtime made of a suite."""

    suite: str
    suite_version: str
    runtime: str
    date: str
    kernel: str
    results: tuple[Result, ...]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is run of a suite, and where what it writes is kept.

    `only` has patterns of the programs' names, none for all of them; `rootless` is the mode of an
    ordinary user, None for root.
    """

    suite: Suite
    checkout: Path
    only: Sequence[str] = ()
    keep: Path | None = None
    rootless: str | None = None

    def programs(self) -> list[str]:
        """Return the programs to run."""
        return [
            program
            for program in self.suite.programs(self.checkout)
            if not self.only
            or any(fnmatch.fnmatch(Path(program).stem, pattern) for pattern in self.only)
        ]


def run(choice: Choice, runtime: Path, progress: Callable[[Result], None]) -> Score:
    """Return the score of `runtime`; each result is told to `progress` as it comes."""
    process.adopt_orphans()
    results: list[Result] = []
    for program in choice.programs():
        with scratch.directory() as work:
            found, output = _run(choice, runtime, program, work)
            _delete_containers(runtime, work)
        if choice.keep is not None:
            (choice.keep / f"{Path(program).stem}.log").write_text(output)
        for result in found:
            progress(result)
        results += found
    return Score(
        suite=choice.suite.name,
        suite_version=_git_version(choice.checkout),
        runtime=version(runtime),
        date=datetime.now(UTC).date().isoformat(),
        kernel=os.uname().release,
        results=tuple(results),
    )


def _run(choice: Choice, runtime: Path, program: str, work: Path) -> tuple[list[Result], str]:
    setting = Setting(checkout=choice.checkout, runtime=runtime, scratch=work)
    if choice.rootless is None:
        return choice.suite.run(program, setting)
    with rootless.user(choice.rootless, work) as user:
        return choice.suite.run(program, msgspec.structs.replace(setting, user=user))


def version(runtime: Path) -> str:
    """Return the runtime's name and version, from the first line of its `--version`.

    Called by a link, one says the link's name; here it is called by its own.
    """
    command = [str(runtime.resolve()), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return said.stdout.splitlines()[0].replace(" version ", " ")


def _git_version(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "describe", "--always", "--tags", "--abbrev=9"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _delete_containers(runtime: Path, work: Path) -> None:
    """Delete what is left of containers with a bundle below `work`, in the runtime's usual root."""
    command = [str(runtime), "list", "--format", "json"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found: list[dict[str, str]] = json.loads(said.stdout or "null") or []
    for container in found:
        if Path(container["bundle"]).is_relative_to(work):
            delete = [str(runtime), "delete", "--force", container["id"]]
            subprocess.run(delete, check=False, capture_output=True)
