"""A plan that is kept beside a container is the same one when it is read."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from nestbox.plan.stored import plan_from_json
from nestbox.runtime import lossless
from tests.plan.launches import PLAIN, engine_plans, exec_plans, plan_of


@settings(deadline=None)
@given(engine_plans)
def test_any_plan_of_an_engine_comes_back(plan):
    assert plan_from_json(lossless.encode(plan)) == plan


@settings(deadline=None)
@given(exec_plans)
def test_any_plan_of_one_more_process_comes_back(plan):
    assert plan_from_json(lossless.encode(plan)) == plan


def test_names_that_are_no_text_come_back():
    launch = msgspec.structs.replace(PLAIN, hostname=b"\xff".decode("utf-8", "surrogateescape"))
    plan = plan_of(launch)
    assert plan_from_json(lossless.encode(plan)) == plan


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"namespaces":[],"steps":[{"step":"NoSuch"}]}', b"\xff"]
)
def test_what_is_no_plan_is_an_error(data):
    with pytest.raises(ValueError, match=r"."):
        plan_from_json(data)
