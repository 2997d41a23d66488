"""A failed step of the executor as an error that engines and people can act on.

The words of runc that callers match come first (peers match "executable file not found in" and
others); cause and remedy are ours.
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, NestboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.plan.steps import LaunchPlan
    from nestbox.runtime.oci.container import Container
    from nestbox.runtime.oci.talk import Report

PLAN = "plan.json"


def explain_failure(plan: LaunchPlan, report: Report) -> NestboxError:
    """Return the error for a report of a step that failed."""
    from nestbox.executor.encode import Report as FullReport
    from nestbox.executor.explain import explain
    from nestbox.executor.explain_oci import oci_words
    from nestbox.outer.facts import CapabilitySets

    none = CapabilitySets(inheritable=0, permitted=0, effective=0, bounding=0, ambient=0)
    full = FullReport(
        kind=report.kind,
        step=report.step,
        errno=report.errno,
        sets=none,  # they come with another kind of report
        message=report.message,
        values=report.value,
    )
    error = explain(plan, full)
    words = oci_words(plan, full)
    return type(error)(words, cause=error.cause, remedy=error.remedy) if words else error


def died(cause: str) -> LaunchError:
    """Return the error for an executor that is gone without having said why."""
    return LaunchError(
        "the container's first process died during the launch",
        cause=f"it was killed, by a seccomp filter, for want of memory or by a signal ({cause})",
        remedy="run `nestbox doctor`, and look at the kernel log",
    )


def keep_plan(directory: str, plan: LaunchPlan) -> None:
    """Keep the plan, by which `start` names the step that failed. Raises StateError.

    Of variables it has only the names: their values are for the container alone.
    """
    from nestbox.runtime import lossless
    from nestbox.runtime.directories import write_atomically

    write_atomically(os.path.join(directory, PLAN), lossless.encode(_without_values(plan)))


def _without_values(plan: LaunchPlan) -> LaunchPlan:
    from msgspec.structs import replace

    from nestbox.plan.steps import Exec, Hook

    steps = tuple(
        replace(step, environment=tuple(one.partition("=")[0] for one in step.environment))
        if isinstance(step, (Exec, Hook))
        else step
        for step in plan.steps
    )
    return replace(plan, steps=steps)


def explain_kept(container: Container, report: Report) -> NestboxError:
    """Return the error for a step of a plan that was kept at the creation."""
    from nestbox.plan.stored import plan_from_json

    try:
        with open(container.path(PLAN), "rb") as file:
            plan = plan_from_json(file.read())
    except (OSError, ValueError) as error:
        return died(f"step {report.step} failed, and its plan cannot be read: {error}")
    return explain_failure(plan, report)
