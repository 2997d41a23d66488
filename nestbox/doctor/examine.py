"""The report on one environment: everything doctor can say about it, without a launch. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.doctor.aspects import check_aspects, check_profiles
from nestbox.doctor.capabilities import check_capabilities, summary
from nestbox.doctor.engine_answer import check_engine
from nestbox.doctor.rehearsal import observed, rehearse
from nestbox.doctor.report import Check, Group, Report, Verdict
from nestbox.doctor.surroundings import EVERY_LAUNCH, check_surroundings
from nestbox.outer.facts import EngineKind
from nestbox.outer.recording import FINGERPRINT_SUBJECTS, fingerprint
from nestbox.version import VERSION

if TYPE_CHECKING:
    from nestbox.doctor.shipped import Shipped
    from nestbox.outer.facts import OuterEnvironment

_WORST_FIRST = {
    Verdict.MISSING: 0,
    Verdict.UNKNOWN: 1,
    Verdict.DEGRADED: 2,
    Verdict.OK: 3,
}


def examine(environment: OuterEnvironment, shipped: Shipped, *, whole: bool = True) -> Report:
    """Return what is missing here, where it was lost and what to change.

    Not the whole is what plain launches of the profiles need to know, and nothing else.
    """
    rehearsals = rehearse(environment, shipped, flags=whole)
    profiles = check_profiles(rehearsals)
    checks = (
        *profiles,
        *check_capabilities(environment, shipped.profiles),
        *check_aspects(rehearsals),
        *check_surroundings(environment, whole=whole),
        *check_engine(environment),
    )
    complete = observed(environment) >= FINGERPRINT_SUBJECTS
    return Report(
        nestbox=VERSION,
        fingerprint=fingerprint(environment) if complete else None,
        place=_place(environment),
        engine_evidence=environment.engine.evidence if environment.engine else (),
        summary=(
            summary(environment, shipped.profiles),
            *(f"{check.subject}: {check.what}" for check in profiles),
        ),
        checks=ordered(checks),
    )


def ordered(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Return the checks with the worst first; within one verdict what more launches suffer from."""
    groups = tuple(Group)

    def key(check: Check) -> tuple[int, int, int]:
        suffering = sum(label.startswith(("profile ", "--privileged")) for label in check.affects)
        if EVERY_LAUNCH in check.affects:
            suffering = len(groups)
        return _WORST_FIRST[check.verdict], -suffering, groups.index(check.group)

    return tuple(sorted(checks, key=key))


def _place(environment: OuterEnvironment) -> str:
    """Return kernel, user and engine in one line."""
    parts = []
    if environment.kernel:
        parts.append(f"Linux {environment.kernel.release} {environment.kernel.machine}")
    if environment.identity:
        namespace = environment.user_namespace
        nested = ""
        if namespace is not None and not namespace.initial:
            nested = " of a user namespace"
        parts.append(f"uid {environment.identity.uid}{nested}")
    engine = environment.engine
    if engine is not None:
        parts.append(_ENGINE_WORDS.get(engine.kind, f"in {engine.kind.value}"))
        if engine.runner:
            parts.append(f"CI runner {engine.runner}")
    return ", ".join(parts) or "an environment of which nothing was observed"


_ENGINE_WORDS = {
    EngineKind.NONE: "no engine around us",
    EngineKind.UNKNOWN: "in a container of an engine that was not recognized",
    EngineKind.KUBERNETES: "in a pod of kubernetes",
    EngineKind.FIRECRACKER: "in a firecracker virtual machine",
}
