"""One guest for each kernel, in which pytest runs what was selected outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from integration.vm.guest import SHARE, Done, Guest
from integration.vm.image import TREE
from integration.vm.kernels import Kernel
from integration.vm.reporting import RESULTS, SHARE_FLAG, WANTED

_LOOK_SECONDS = 0.5
_COLLECT_SECONDS = 120


def collect(paths: list[str]) -> list[str]:
    """Return the names of the tests in files or directories of the work tree.

    Raises:
        ValueError: pytest cannot collect them; the text is its own.
    """
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, *paths],
        cwd=TREE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_COLLECT_SECONDS,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    if done.returncode != 0:
        raise ValueError(done.stdout + done.stderr)
    return [line for line in done.stdout.splitlines() if "::" in line]


@dataclass
class Result:
    """What became of one test in a guest."""

    phases: list[dict[str, str]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Return whether its last phase has ended."""
        return any(phase["when"] == "teardown" for phase in self.phases)

    @property
    def failures(self) -> str:
        """Return the texts of the phases that failed."""
        return "\n".join(one["text"] for one in self.phases if one["outcome"] == "failed")

    @property
    def skipped(self) -> str | None:
        """Return why it was skipped, or None."""
        found = [one["text"] for one in self.phases if one["outcome"] in {"skipped", "xfailed"}]
        return found[0] if found else None


class Session:
    """The tests of one kernel while they run."""

    def __init__(
        self, kernel: Kernel, image: Path, share: Path, tests: list[str], *, seconds: float
    ) -> None:
        """Boot the guest, which begins with the tests at once."""
        share.mkdir(parents=True)
        (share / WANTED).write_text("\n".join(tests) + "\n")
        self._results: dict[str, Result] = {}
        self._file = (share / RESULTS).open("a+")
        self._file.seek(0)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        # As `make test` calls it, but that nothing of the outside is kept.
        pytest = [f"{TREE}/.venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider"]
        plugin = ["-p", "integration.vm.reporting", f"{SHARE_FLAG}={SHARE}", "--color=no"]
        command = ["env", "-C", str(TREE), "PYTHONDONTWRITEBYTECODE=1", *pytest, *plugin, *files]
        self._guest = Guest(kernel, image, share, command, seconds=seconds)
        self._done: Done | None = None

    def result(self, test: str) -> Result | None:
        """Wait for a test of the guest; return None when the guest ended without it."""
        while not self._known(test):
            if self._done is not None or self._guest.wait(_LOOK_SECONDS):
                self.close()
                return self._results[test] if self._known(test) else None
        return self._results[test]

    def _known(self, test: str) -> bool:
        while not self._file.closed and (line := self._file.readline()):
            if not line.endswith("\n"):
                # The other side is writing it.
                self._file.seek(self._file.tell() - len(line.encode()))
                break
            phase = json.loads(line)
            self._results.setdefault(phase["test"], Result()).phases.append(phase)
        return test in self._results and self._results[test].complete

    def close(self) -> Done:
        """End the guest, and return what became of it."""
        if self._done is None:
            self._done = self._guest.close()
            self._known("")  # what it has told since
            self._file.close()
        return self._done
