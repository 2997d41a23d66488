"""What the tests share: which runtime they drive, and why some of them cannot run here."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile(
    "unhurried", settings.get_profile(settings.get_current_profile_name()), deadline=None
)
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runtime",
        help="the command that tests/root drives in place of the installed nestbox",
    )
    parser.addoption(
        "--oci-runtime",
        help="the program that tests/root/oci drives in place of the installed nestbox-runtime",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root, with nestbox's own words for what is missing here."""
    wanting = [item for item in items if item.get_closest_marker("root")]
    if not wanting or os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason=_what_is_missing())
    for item in wanting:
        item.add_marker(skip)


def _what_is_missing() -> str:
    """Return what the doctor says first about this environment."""
    from nestbox.doctor.examine import examine
    from nestbox.doctor.shipped import load_all
    from nestbox.outer.probe import ALL_SUBJECTS, observe
    from nestbox.runtime.context import context_of_process

    environment = observe(ALL_SUBJECTS, state_directory=context_of_process().storage)
    report = examine(environment, load_all())
    return f"{report.place}: {report.summary[0]}"
