"""The suites: which programs each has, how one is run, and what counts as passed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from integration.conformance import process, tap
from integration.conformance.rootless import User
from integration.conformance.tap import Outcome

_PROGRAM_SECONDS: Final = 180.0
_FILE_SECONDS: Final = 1800.0
_PATIENCE_SECONDS: Final = 90.0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One test's outcome, and the reason as far as the suite gave one."""

    name: str
    outcome: Outcome
    why: str = ""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a suite needs: its checkout, the runtime under test, a directory for its files.

    With ``user`` it is run as that one.
    """

    checkout: Path
    runtime: Path
    scratch: Path
    user: User | None = None


class Suite(Protocol):
    """A suite; each of its programs reports one or more tests."""

    name: str

    def programs(self, checkout: Path) -> list[str]:
        """Return the names of the programs, each a path below `checkout`, sorted."""

    def run(self, program: str, setting: Setting) -> tuple[list[Result], str]:
        """Return the results of one program, and all that it wrote."""


class RuntimeTools:
    """opencontainers/runtime-tools: a program passes when all of its tests do."""

    name = "runtime-tools"

    def programs(self, checkout: Path) -> list[str]:
        """Return the validation programs that the suite's makefile has built."""
        return _below(checkout, "validation/*/*.t")

    def run(self, program: str, setting: Setting) -> tuple[list[Result], str]:
        """Return one result, that of the program, and all that it wrote."""
        finished = process.run(
            process.Job(
                command=[f"./{program}"],
                cwd=setting.checkout,
                env=_environment(setting, {"RUNTIME": str(setting.runtime)}),
                culprit=setting.runtime,
                seconds=_PROGRAM_SECONDS,
                patience=_PATIENCE_SECONDS,
                terminal=False,
            )
        )
        outcome, why = _verdict(finished)
        return [Result(name=Path(program).stem, outcome=outcome, why=why)], finished.output


class RuncBats:
    """The integration tests of opencontainers/runc, one file of them after the other."""

    name = "runc-bats"

    def programs(self, checkout: Path) -> list[str]:
        """Return the files of tests."""
        return _below(checkout, "tests/integration/*.bats")

    def run(self, program: str, setting: Setting) -> tuple[list[Result], str]:
        """Return the results of the file's tests, and all that it wrote."""
        titles = list(_titles((setting.checkout / program).read_text()))
        finished = process.run(
            process.Job(
                command=[*(setting.user.words if setting.user else ()), "bats", "--tap", program],
                cwd=setting.checkout,
                env=_environment(setting, {"RUNC": str(setting.runtime)}),
                culprit=setting.runtime,
                seconds=_FILE_SECONDS,
                patience=_PATIENCE_SECONDS,
                terminal=True,
            )
        )
        lines = {line.title: line for line in tap.parse(finished.output).lines}
        file = Path(program).stem
        results = [_result(f"{file}: {title}", lines.get(title)) for title in titles]
        return results, finished.output


EVERY: Final[Mapping[str, Suite]] = {each.name: each for each in (RuntimeTools(), RuncBats())}


def _below(checkout: Path, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(checkout)) for path in checkout.glob(pattern))


def _environment(setting: Setting, own: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with what the suite asks for, and its files in the scratch."""
    users = setting.user.variables if setting.user else {}
    return {**os.environ, "TMPDIR": str(setting.scratch), "TERM": "dumb", **users, **own}


def _result(name: str, line: tap.Line | None) -> Result:
    """Return the outcome of a test of bats; one that never reported has failed."""
    if line is None:
        return Result(name=name, outcome=Outcome.FAILED, why="did not report")
    return Result(name=name, outcome=line.outcome, why=line.why)


def _verdict(finished: process.Finished) -> tuple[Outcome, str]:
    stream = tap.parse(finished.output)
    if finished.status is None:
        return Outcome.FAILED, "over the time limit"
    failed = [line.title for line in stream.lines if line.outcome is Outcome.FAILED]
    if failed:
        return Outcome.FAILED, failed[0] or "not ok"
    if finished.status != 0:
        return Outcome.FAILED, f"ended with status {finished.status}"
    if not stream.whole:
        return Outcome.FAILED, f"planned {stream.planned} tests, reported {len(stream.lines)}"
    if stream.lines and all(line.outcome is Outcome.SKIPPED for line in stream.lines):
        return Outcome.SKIPPED, stream.lines[0].why
    return Outcome.PASSED, ""


def _titles(source: str) -> Iterator[str]:
    """Yield the titles of the tests that a file of bats has."""
    for row in source.splitlines():
        if row.startswith("@test "):
            quoted = row.removeprefix("@test ").rstrip().removesuffix("{").rstrip()
            yield quoted[1:-1].replace('\\"', '"').strip()
