"""What becomes of a configuration or of an exec: decisions, the launch, and warnings. Values."""

from __future__ import annotations

import msgspec

from nestbox.oci.seccomp import LinuxSeccomp
from nestbox.policy.capabilities import CapabilityResolution
from nestbox.policy.decision import Decision, Outcome
from nestbox.policy.launch_spec import LaunchSpec, ProcessSpec


class ConfigResolution(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one configuration; ``launch`` is None when it is refused."""

    launch: LaunchSpec | None
    capabilities: CapabilityResolution
    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...]  # of the OCI log, one for each thing that is less than asked for

    @property
    def refused(self) -> tuple[Decision, ...]:
        """The aspects other than capabilities that stop the launch."""
        return with_outcome(self.decisions, Outcome.REFUSED)

    @property
    def weakened(self) -> tuple[Decision, ...]:
        """The aspects other than capabilities that are less than was asked for."""
        return with_outcome(self.decisions, Outcome.WEAKENED)


class ExecResolution(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one exec in a container; ``process`` is None when it is refused."""

    process: ProcessSpec | None
    capabilities: CapabilityResolution
    decisions: tuple[Decision, ...]
    warnings: tuple[str, ...]
    seccomp: LinuxSeccomp | None = None
    seccomp_shim: tuple[str, ...] = ()  # as in LaunchSpec, like what follows
    plain_clone: bool = False
    own_proc: bool = False
    new_keyring: bool = False
    initial_affinity: tuple[int, ...] = ()  # processors until the cgroup is entered; empty: as is

    @property
    def refused(self) -> tuple[Decision, ...]:
        """The aspects other than capabilities that stop the exec."""
        return with_outcome(self.decisions, Outcome.REFUSED)

    @property
    def weakened(self) -> tuple[Decision, ...]:
        """The aspects other than capabilities that are less than was asked for."""
        return with_outcome(self.decisions, Outcome.WEAKENED)


def with_outcome(decisions: tuple[Decision, ...], outcome: Outcome) -> tuple[Decision, ...]:
    """Return the decisions of this outcome, in their order."""
    return tuple(decision for decision in decisions if decision.outcome is outcome)


def is_refused(capabilities: CapabilityResolution, decisions: tuple[Decision, ...]) -> bool:
    """Return whether anything stops the launch."""
    return bool(capabilities.problems or with_outcome(decisions, Outcome.REFUSED))


def warning_lines(
    capabilities: CapabilityResolution, decisions: tuple[Decision, ...]
) -> tuple[str, ...]:
    """Return a line for each capability and aspect that is less than asked: what, how, why."""
    lines = (
        f"{one.subject} {one.request}: {one.chosen}, since {one.cause} (try: {one.remedy})"
        for one in with_outcome(decisions, Outcome.WEAKENED)
    )
    return (*capabilities.notes, *lines)
