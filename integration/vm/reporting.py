"""A plugin of the pytest that runs in a guest: it runs what is wanted, and tells each result.

A line is written as soon as a test has ended, so that a guest that dies has told what it could.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WANTED = "wanted"
RESULTS = "results"
SHARE_FLAG = "--vm-share"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the directory that both sides see."""
    parser.addoption(SHARE_FLAG, help="the directory with the names of the tests to run")


def pytest_configure(config: pytest.Config) -> None:
    """Report, where there is somebody to report to."""
    share = config.getoption(SHARE_FLAG)
    if share:
        config.pluginmanager.register(_Reporter(Path(share)))


class _Reporter:
    """Writes the results of one session."""

    def __init__(self, share: Path) -> None:
        self._wanted = set((share / WANTED).read_text().splitlines())
        self._file = (share / RESULTS).open("a", buffering=1)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what was not asked for: it is another one's, or was deselected outside."""
        left_out = [item for item in items if item.nodeid not in self._wanted]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid in self._wanted]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell what became of a phase of a test; the call and the last one are told always."""
        if report.when == "setup" and report.passed:
            return
        told = {
            "test": report.nodeid,
            "when": report.when,
            "outcome": "xfailed" if hasattr(report, "wasxfail") else report.outcome,
            "seconds": round(report.duration, 3),
            "text": _text(report),
        }
        self._file.write(json.dumps(told) + "\n")


def _text(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return report.longreprtext[-20000:]
