"""`python -m bench`: measure, print the tables, write the files, leave nothing behind."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from bench import (
    engine,
    launchers,
    markdown,
    process,
    programs,
    report,
    root,
    runtimes,
    scratch,
    session,
)

_QUICK: Final = 20  # rounds
_LEVELS: Final = (1, 100, 1000)
_QUICK_LEVELS: Final = (1, 10, 100)
_ROWS: Final = tuple(dict.fromkeys((*launchers.ROWS, *runtimes.ROWS)))
_EXPECTED: Final = (
    process.LaunchFailedError,
    programs.NotAvailableError,
    root.NoBusyboxError,
    scratch.StillMountedError,
)
_TABLES: Final = ("none", "default")


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 0 measured, 1 a launch failed, 130 interrupted."""
    options = _parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("bench: launches are measured as root; run it as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _measure(options)
    except _EXPECTED as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted, nothing is left behind", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=_positive, default=200, help="samples of each launcher")
    parser.add_argument("--warmup", type=_positive, default=10, help="rounds before those")
    parser.add_argument("--quick", action="store_true", help="20 rounds: a look, not a figure")
    parser.add_argument(
        "--part", action="append", choices=session.PARTS, help="measure this part alone"
    )
    parser.add_argument("--only", action="append", choices=_ROWS, help="measure this row alone")
    parser.add_argument("--skip", action="append", choices=_ROWS, help="leave this row out")
    parser.add_argument(
        "--alive",
        type=_levels,
        metavar="N,N",
        help=f"how many containers are alive in the part alive ({','.join(map(str, _LEVELS))})",
    )
    parser.add_argument(
        "--seccomp", choices=(*_TABLES, "both"), default="both", help="for all launchers alike"
    )
    parser.add_argument("--json", type=_writable, metavar="FILE", help="write every sample there")
    parser.add_argument(
        "--markdown", type=_writable, metavar="FILE", help="write the tables there as a page"
    )
    return parser


def _measure(options: argparse.Namespace) -> None:
    results = session.run(
        _effort(options),
        session.Choice(
            rows=frozenset(options.only or _ROWS) - frozenset(options.skip or ()),
            parts=frozenset(options.part or session.PARTS),
            seccomp=_TABLES if options.seccomp == "both" else (options.seccomp,),
        ),
    )
    for line in report.lines(results):
        print(line)
    if options.json is not None:
        options.json.write_text(report.document(results))
    if options.markdown is not None:
        options.markdown.write_text(markdown.page(results))


def _effort(options: argparse.Namespace) -> session.Effort:
    """Return how much to measure: the slower what is repeated, the fewer rounds."""
    rounds = min(options.rounds, _QUICK) if options.quick else options.rounds
    warmup = min(options.warmup, 2) if options.quick else options.warmup
    return session.Effort(
        rounds=rounds,
        warmup=warmup,
        engine=engine.Rounds(
            warmup=max(warmup // 5, 1),
            commands=max(rounds // 2, 1),
            parallel=max(rounds // 8, 1),
            alive=max(rounds // 5, 1),
            levels=options.alive or (_QUICK_LEVELS if options.quick else _LEVELS),
        ),
    )


def _levels(text: str) -> tuple[int, ...]:
    return tuple(sorted(_positive(part) for part in text.split(",")))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _writable(text: str) -> Path:
    """Return a path that can be written to, found out before a minute is spent measuring."""
    try:
        Path(text).touch()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot be written: {error.strerror}") from error
    return Path(text)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
