"""Every outer environment against every request: what is given, what is refused, what runs."""

from __future__ import annotations

import pytest

from tests.root.nesting.catalogue import ENVIRONMENTS
from tests.root.nesting.description import Environment
from tests.root.nesting.goldens import KNOWN, file_of, machine_class, update, wanted
from tests.root.nesting.matrix import Launch, text_of
from tests.root.nesting.telling import settled


@pytest.mark.parametrize("described", ENVIRONMENTS, ids=lambda one: one.name)
def test_what_is_asked_for_starts_or_is_refused_in_words(described: Environment, launches) -> None:
    for one in launches(described):
        if not one.starts:
            _assert_refused(one)


def _assert_refused(one: Launch) -> None:
    """Hold that a launch was refused before anything was made, and that a plan says the same."""
    refused, planned = one.told.refused, one.told.planned
    assert refused is not None, f"it was not refused and does not start: {one}"
    assert planned is not None, f"the plan does not refuse it: {one}"
    assert settled(planned.what) == settled(refused.what)
    assert "internal error" not in refused.what
    assert refused.cause
    assert refused.remedy
    assert one.ran.out == ""


@pytest.mark.parametrize("described", ENVIRONMENTS, ids=lambda one: one.name)
def test_the_rungs_and_refusals_are_those_of_the_golden_text(
    described: Environment, launches
) -> None:
    machine, directory = machine_class(), wanted()
    if machine not in KNOWN and directory is None:
        pytest.skip(f"there are no golden texts for machines of the class {machine}")
    text = text_of(described, launches(described))
    if directory is not None:
        update(described.name, machine, text, directory)
        return
    assert text == file_of(described.name, machine).read_text()
