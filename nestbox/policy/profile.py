"""A profile: what a kind of container gets unless the request says otherwise. Values only.

Everything in a profile is lenient, so it is weakened where the outer environment cannot give it,
unless the entry says ``policy: strict``. ``nestbox.policy.profile_file`` reads it from YAML.
"""

from __future__ import annotations

import msgspec

from nestbox.policy.decision import Intent


class CapabilityGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Which capabilities, by name without prefix, or ALL for what can be granted here."""

    grant: tuple[str, ...] = ()
    policy: Intent = Intent.LENIENT
    ambient: bool = False


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One wish with its strictness: ``seccomp: default`` or ``{want: default, policy: strict}``.

    ``otherwise`` is the value to fall back on; empty means the weakest rung of the ladder.
    """

    want: str
    policy: Intent = Intent.LENIENT
    otherwise: str = ""


class ResourceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that a cgroup enforces; None leaves one unlimited."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    policy: Intent = Intent.LENIENT


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One profile, complete: after ``extends`` was followed."""

    name: str
    description: str
    capabilities: CapabilityGrant
    user_namespace: Choice  # host | auto | keep-id
    seccomp: Choice  # default | strict | unconfined
    lsm: Choice  # keep | unconfined
    devices: Choice  # default | all
    network: Choice  # none (own, loopback only) | host | private (own, with a way out)
    proc: Choice  # fresh | bind
    sys: Choice  # ro | rw
    cgroup: Choice  # ro | rw | none: how the cgroup file system is mounted
    root: Choice  # rw | ro
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    no_new_privs: bool
    limits: ResourceLimits
    rlimits: tuple[tuple[str, str], ...] = ()  # ("RLIMIT_NOFILE", "1024:4096")
    oom_score_adj: int | None = None  # None keeps the outer one
    sysctls: tuple[tuple[str, str], ...] = ()
    source: str = ""  # the file it came from, or "built in"
