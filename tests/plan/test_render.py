"""What people see of a plan: a line a step, every one in full, and no values of variables."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given

from nestbox.plan.render import describe, render
from tests.plan.launches import PLAIN, plan_of, plans

GOLDEN = Path(__file__).with_name("golden") / "plain.txt"


def test_the_plain_launch_reads_as_it_always_did():
    assert render(plan_of(PLAIN)) + "\n" == GOLDEN.read_text()


def test_variables_are_counted_and_not_shown():
    text = render(plan_of(PLAIN))
    assert "with 2 variables" in text
    assert "SECRET" not in text
    assert "value" not in text


@given(plans)
def test_every_step_has_words_of_its_own(plan):
    for step in plan.steps:
        assert describe(step).strip()
    assert len(render(plan).splitlines()) >= len(plan.steps) + 1
