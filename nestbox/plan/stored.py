"""A plan that was kept as JSON -> the plan, for those who explain a step of it later."""

from __future__ import annotations

from functools import reduce
from operator import or_

import msgspec

from nestbox.plan.steps import LaunchPlan, Step


def plan_from_json(data: bytes) -> LaunchPlan:
    """Return the plan that msgspec encoded.

    Raises:
        ValueError: the text is damaged, or has steps that this nestbox does not know.
    """
    try:
        plain = msgspec.json.decode(data)
    except msgspec.DecodeError:
        # Names that are no UTF-8 are written as lone surrogates, which msgspec does not read.
        import json

        plain = json.loads(data)
    any_step = reduce(or_, Step.__subclasses__())
    try:
        return LaunchPlan(
            namespaces=msgspec.convert(plain["namespaces"], tuple[str, ...]),
            steps=msgspec.convert(plain["steps"], tuple[any_step, ...]),  # type: ignore[valid-type]
            plain_clone=msgspec.convert(plain.get("plain_clone", False), bool),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is no plan: {error}") from error
