"""What doctor says: checks, each with verdict, cause, evidence and remedy. Values only."""

from __future__ import annotations

from enum import StrEnum

import msgspec

SCHEMA = 1  # of the JSON form; raised when a field changes its meaning


class Verdict(StrEnum):
    """How an aspect of the outer environment is, best first."""

    OK = "ok"
    DEGRADED = "degraded"  # a launch goes on with less, or an optional thing is not to be had
    MISSING = "missing"  # what a profile or a common flag asks for is not to be had
    UNKNOWN = "unknown"  # not observed, so nothing is claimed


class Group(StrEnum):
    """The parts of a report, in the order in which they are shown."""

    PROFILES = "profiles"
    CAPABILITIES = "capabilities"
    NAMESPACES = "namespaces"
    SECCOMP = "seccomp"
    CGROUPS = "cgroups"
    MOUNTS = "mounts"
    STORAGE = "storage"
    DEVICES = "devices"
    NETWORK = "network"
    SECURITY = "security"
    LIMITS = "limits"
    ENGINE = "engine"
    PROGRAM = "program"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding.

    ``cause``, ``evidence`` and ``remedy`` are empty where all is well; ``affects`` names the
    profiles and flags that get less because of it.
    """

    group: Group
    subject: str  # "CAP_SYS_RESOURCE", "cgroup.memory", "mount /proc"
    verdict: Verdict
    what: str  # the state in a few words
    cause: str = ""
    evidence: str = ""  # the fact that shows it
    lost_at: str = ""  # "pid 812 (bash)": where a capability disappeared
    remedy: str = ""
    affects: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything doctor found in one environment."""

    schema: int = SCHEMA
    nestbox: str  # version
    fingerprint: str | None  # None when the environment was not observed far enough for one
    place: str  # kernel, user and engine in one line
    engine_evidence: tuple[str, ...]
    summary: tuple[str, ...]  # first what a tired person wants to know
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing that is needed is missing or could not be told."""
        return all(check.verdict in {Verdict.OK, Verdict.DEGRADED} for check in self.checks)
