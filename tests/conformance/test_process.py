"""A program of a suite is run as the suite expects, and leaves no process behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from integration.conformance import process

# In a process of its own: the one that runs a suite adopts every orphan below it.
_ALONE = """
import os, sys
from pathlib import Path
from integration.conformance import process
process.adopt_orphans()
finished = process.run(process.Job(
    command=["sh", "-c", sys.argv[1]], cwd=Path("/"), env=dict(os.environ),
    culprit=Path("/usr/bin/sleep"), seconds=float(sys.argv[2]), patience=float(sys.argv[3]),
    terminal=sys.argv[4] == "terminal",
))
print(finished.status, finished.output, sep="|", end="")
"""


def _run(
    script: str, *, seconds: float = 30, patience: float = 30, terminal: bool = False
) -> tuple[str, str]:
    """Return the status and the output of a shell script, as text."""
    streams = "terminal" if terminal else "none"
    said = subprocess.run(
        [sys.executable, "-c", _ALONE, script, str(seconds), str(patience), streams],
        cwd=Path(process.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    status, output = said.stdout.split("|", 1)
    return status, output


def _exists(pid: str) -> bool:
    return Path("/proc", pid).exists()


def test_status_and_both_streams_are_returned() -> None:
    assert _run("echo out; echo error >&2; exit 3") == ("3", "out\nerror\n")


def test_standard_input_is_empty_without_a_terminal() -> None:
    assert _run("cat; test -t 1 || echo none") == ("0", "none\n")


def test_with_a_terminal_all_streams_are_one_and_it_controls_the_program() -> None:
    status, output = _run("test -t 0 && test -t 1 && test -t 2 && : < /dev/tty", terminal=True)
    assert (status, output) == ("0", "")


def test_what_outlives_the_program_is_ended() -> None:
    status, output = _run("setsid sleep 1000 >&- 2>&- & echo $!")
    assert status == "0"
    assert not _exists(output.strip())


def test_a_program_that_holds_the_output_open_is_not_waited_for() -> None:
    status, output = _run("(sleep 1000 & echo $!) & wait")
    assert status == "0"
    assert not _exists(output.strip())


def test_the_time_limit_ends_the_program_and_its_children() -> None:
    status, output = _run("setsid sleep 1000 & echo $!; wait", seconds=0.5)
    assert status == "None"
    assert not _exists(output.strip())


def test_a_call_that_never_returns_is_ended_and_the_rest_goes_on() -> None:
    script = "(exec /usr/bin/sleep 1000); echo $?; echo on"
    status, output = _run(script, patience=0.3)
    assert status == "0"
    assert output.endswith("137\non\n")


def test_orphans_are_reaped_while_the_program_runs() -> None:
    # The shell sees its grandchild disappear, which a zombie would not.
    script = "pid=$( (true & echo $!) ); while kill -0 $pid 2>/dev/null; do :; done; echo gone"
    assert _run(script) == ("0", "gone\n")
