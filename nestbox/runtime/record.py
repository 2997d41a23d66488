"""The record of a launch: who asked for what, what was given and why, kept after the container."""

from __future__ import annotations

import msgspec

from nestbox.outer.facts import CapabilitySets, OuterEnvironment
from nestbox.policy.decision import CapabilityDecision, Decision
from nestbox.policy.request import RunRequest

SCHEMA = 1


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the outer network that leads to one of the container."""

    protocol: str
    address: str  # empty: every outer address
    outer: int
    inner: int


class ConnectedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the container's own with a way out, as it was made."""

    rung: str  # veth, pasta or slirp4netns
    address: str  # the container's; empty: pasta gave it that of the machine
    ports: tuple[Port, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One launch. Values of environment variables are never in it, only their names.

    ``phases`` are the milliseconds of each phase; ``sets`` is what the executor read back from the
    kernel right before exec, ``after_exec`` what the kernel's rules make of it.
    """

    schema: int = SCHEMA
    id: str
    nestbox: str  # version
    created: str  # RFC 3339, UTC
    fingerprint: str
    environment: OuterEnvironment
    request: RunRequest | None  # None: an engine made the container, from a bundle
    bundle: str = ""  # its directory
    arguments: tuple[str, ...] = ()  # and the command in it
    profile: str
    decisions: tuple[Decision, ...]
    capabilities: tuple[CapabilityDecision, ...]
    plan: tuple[str, ...]  # one line a step
    plan_digest: str  # of the encoded plan: blake2b, 16 bytes, in hexadecimal
    sets: CapabilitySets | None  # None: the launch failed before they were read back
    after_exec: CapabilitySets
    network: ConnectedNetwork | None = None
    pid: int | None
    phases: dict[str, float]
    exit_code: int | None = None  # None: it runs still, or was lost
    error: str = ""  # why the launch failed

    @property
    def command(self) -> tuple[str, ...]:
        """What the container runs."""
        return self.arguments if self.request is None else self.request.argv

    def capability(self, name: str) -> CapabilityDecision:
        """Return the decision on one capability, by name with or without ``CAP_``.

        Raises:
            KeyError: the record has no such capability.
        """
        wanted = name.upper()
        for decision in self.capabilities:
            if wanted in {decision.name, decision.name.removeprefix("CAP_")}:
                return decision
        raise KeyError(name)
