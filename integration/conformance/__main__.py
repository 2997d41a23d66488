"""`python -m integration.conformance`: run a suite, print the scores, write them to the page."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from integration.conformance import process, report, rootless, scratch, session, suites

_PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"
_KEPT: Final = "score.json"


def main(arguments: Sequence[str]) -> int:
    """Return the exit status: 0 the suite ran, whatever its outcome; 1 it could not."""
    options = _parser().parse_args(arguments)
    if options.rootless and options.suite != suites.RuncBats.name:
        print(f"conformance: {options.suite} has no mode for ordinary users", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print("conformance: the suites run as root", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        scores = [_score(options, runtime) for runtime in options.runtime]
        for line in report.lines(scores):
            print(line)
        if options.markdown is not None:
            text = report.block(scores, report.reasons(options.suite))
            report.put(options.markdown, f"{options.suite}, {options.place}", text)
    except (scratch.StillMountedError, report.NoBlockError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        process.end_descendants()
        print("conformance: interrupted, what it started has ended", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="integration.conformance", description=__doc__)
    parser.add_argument("--suite", choices=suites.EVERY, required=True)
    parser.add_argument("--checkout", type=_directory, required=True, help="the suite, built")
    parser.add_argument(
        "--runtime", type=_program, action="append", required=True, help="again for each runtime"
    )
    parser.add_argument(
        "--rootless",
        choices=rootless.MODES,
        help="runc-bats as an ordinary user, with what the user is given",
    )
    parser.add_argument("--only", action="append", metavar="PATTERN", help="these programs alone")
    parser.add_argument(
        "--results", type=Path, metavar="DIRECTORY", help="keep scores and output there"
    )
    parser.add_argument(
        "--reuse", action="store_true", help="take a score kept there instead of running again"
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        nargs="?",
        const=_PAGE,
        metavar="FILE",
        help="write the scores into their block of this page",
    )
    parser.add_argument("--place", default="this machine", help="which block: where it was run")
    return parser


def _score(options: argparse.Namespace, runtime: Path) -> session.Score:
    """Return the runtime's score, run now or kept from before."""
    suite = suites.EVERY[options.suite]
    keep = None
    if options.results is not None:
        keep = options.results / suite.name / session.version(runtime).replace(" ", "-")
        keep.mkdir(parents=True, exist_ok=True)
        if options.reuse and (keep / _KEPT).exists():
            return msgspec.json.decode((keep / _KEPT).read_bytes(), type=session.Score)
    choice = session.Choice(
        suite=suite,
        checkout=options.checkout,
        only=options.only or (),
        keep=keep,
        rootless=options.rootless,
    )
    score = session.run(choice, runtime, _say)
    if keep is not None:
        (keep / _KEPT).write_bytes(msgspec.json.encode(score))
    return score


def _say(result: suites.Result) -> None:
    why = f" ({result.why})" if result.why else ""
    print(f"{result.outcome} {result.name}{why}", flush=True)


def _directory(text: str) -> Path:
    path = Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError("is not a directory")
    return path


def _program(text: str) -> Path:
    path = Path(text).absolute()  # not resolved: engines and tests look at the name it is called by
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError("is not a program")
    return path


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
