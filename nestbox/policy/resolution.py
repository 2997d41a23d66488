"""The result of resolving a request: every decision, and the launch when none refused. Values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import Refused
from nestbox.policy.decision import Decision, Outcome

if TYPE_CHECKING:
    from typing import Protocol

    from nestbox.policy.capabilities import CapabilityResolution
    from nestbox.policy.launch_spec import LaunchSpec
    from nestbox.policy.request import RunRequest


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one request in one environment; ``launch`` is None when it is refused."""

    request: RunRequest
    profile: str  # its name
    decisions: tuple[Decision, ...]
    capabilities: CapabilityResolution
    launch: LaunchSpec | None

    @property
    def refused(self) -> tuple[Decision, ...]:
        """The aspects other than capabilities that stop the launch."""
        return _with_outcome(self.decisions, Outcome.REFUSED)

    @property
    def weakened(self) -> tuple[Decision, ...]:
        """The aspects other than capabilities that are less than was asked for."""
        return _with_outcome(self.decisions, Outcome.WEAKENED)


if TYPE_CHECKING:

    class Decided(Protocol):
        """What was decided about a request of any kind: of `run`, of an engine, of an exec."""

        @property
        def capabilities(self) -> CapabilityResolution: ...
        @property
        def refused(self) -> tuple[Decision, ...]: ...


def refusal(resolution: Decided) -> Refused | None:
    """Return the one error that lists everything that was asked for by name and is not to be had.

    None when the launch may go on.
    """
    of_capabilities = None
    if resolution.capabilities.problems:
        from nestbox.policy import capability_messages

        of_capabilities = capability_messages.refusal(resolution.capabilities)
    groups = _groups(resolution.refused)
    if not groups:
        return of_capabilities
    what = f"cannot give {', '.join(_asked(one) for one in resolution.refused)}"
    causes = [f"{_subjects(group)}: {group[0].cause}" for group in groups]
    remedies = [f"{_subjects(group)}: {group[0].remedy}" for group in groups]
    if _makes_namespaces(resolution):
        # With the capability, which is asked for anyway, no new user namespace is needed.
        remedies = [
            f"{_subjects(group)}: {group[0].remedy}" for group in groups if not _follows(group)
        ]
    if of_capabilities is not None:
        what = f"{of_capabilities.what}, and {what}"
        causes.insert(0, of_capabilities.cause)
        remedies.insert(0, of_capabilities.remedy)
    elif len(groups) == 1:
        causes, remedies = [groups[0][0].cause], [groups[0][0].remedy]
    return Refused(what, cause="; ".join(causes), remedy="; ".join(remedies))


def _makes_namespaces(resolution: Decided) -> bool:
    return any(one.name == "CAP_SYS_ADMIN" for one in resolution.capabilities.problems)


def _follows(group: list[Decision]) -> bool:
    return all(one.subject == "user-namespace" and one.request == "host" for one in group)


def warnings(resolution: Resolution, container: str = "NAME") -> tuple[str, ...]:
    """Return the lines for stderr: one for all absent capabilities, one for each weaker aspect.

    Aspects that are weaker for one reason share a line.
    """
    from nestbox.policy.capability_messages import notice_lines

    lines = []
    for group in _groups(resolution.weakened):
        wanted = ", ".join(f"{one.subject} {one.request}" for one in group)
        given = ", ".join(dict.fromkeys(one.chosen for one in group))
        lines.append(f"nestbox: {wanted}: {given} ({group[0].cause}; nestbox explain {container})")
    return (*notice_lines(resolution.capabilities, container), *lines)


def _groups(decisions: tuple[Decision, ...]) -> list[list[Decision]]:
    """Return the decisions that have cause and remedy in common, in the order of the first."""
    groups: dict[tuple[str, str], list[Decision]] = {}
    for decision in decisions:
        groups.setdefault((decision.cause, decision.remedy), []).append(decision)
    return list(groups.values())


def _subjects(decisions: list[Decision]) -> str:
    return ", ".join(decision.subject for decision in decisions)


def _with_outcome(decisions: tuple[Decision, ...], outcome: Outcome) -> tuple[Decision, ...]:
    return tuple(decision for decision in decisions if decision.outcome is outcome)


def _asked(decision: Decision) -> str:
    """Return what was asked in the user's own words: the flag, or subject and profile."""
    if decision.asked_by.startswith("-"):
        return decision.asked_by
    return f"{decision.subject} {decision.request} ({decision.asked_by})"
