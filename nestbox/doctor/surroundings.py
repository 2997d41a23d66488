"""Checks from trials and plain facts, one or more for each group. Pure.

Where a decision already tells what is wrong (doctor.aspects), the line here says only what was
seen; a verdict of its own is given where a trial failed that no decision looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.doctor.report import Check, Group, Verdict
from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.policy.capability_decisions import engine_kind
from nestbox.policy.capability_remedies import lost_at, remedy
from nestbox.policy.decision import CapabilityCause
from nestbox.policy.engine_settings import allow_syscalls
from nestbox.policy.kernel_mounts import why_not_fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.outer.facts import Seccomp

EVERY_LAUNCH: Final = "every launch"

_SYS_ADMIN: Final = 21
_NOT_NEEDED: Final = frozenset({"time"})  # no launch makes one
_CONTROLLERS: Final = ("memory", "cpu", "pids")
_SHOWN_LIMITS: Final = ("NOFILE", "NPROC")


def check_surroundings(environment: OuterEnvironment, *, whole: bool = True) -> tuple[Check, ...]:
    """Return the checks made from plain facts.

    A subject that was not observed is UNKNOWN, or left out where the whole was not asked for.
    """
    checks: list[Check] = []
    for group, subject, look in _LOOKS:
        if getattr(environment, subject.value) is not None:
            checks += look(environment)
        elif whole:
            checks.append(_unknown(group, subject))
    return tuple(checks)


def _unknown(group: Group, subject: Subject) -> Check:
    return Check(
        group=group,
        subject=subject.value,
        verdict=Verdict.UNKNOWN,
        what="not observed",
        cause="the recording does not have it",
        remedy="record the environment again: nestbox doctor --record FILE",
    )


def _well(group: Group, subject: str, what: str) -> Check:
    return Check(group=group, subject=subject, verdict=Verdict.OK, what=what)


def _namespaces(environment: OuterEnvironment) -> list[Check]:
    namespaces = environment.namespaces
    assert namespaces is not None
    works = [name for name, trial in namespaces.create.items() if trial.works]
    failed = {
        name: trial.error
        for name, trial in namespaces.create.items()
        if not trial.works and name not in _NOT_NEEDED
    }
    checks = [_well(Group.NAMESPACES, "new ones", f"new {' '.join(works)}")] if works else []
    if not failed:
        return checks
    nested = all(
        namespaces.create_with_user[name].works
        for name in failed
        if name in namespaces.create_with_user
    )
    if nested and not _is_admin(environment):
        # The policy's decision about the user namespace is the finding.
        inside = f"new {' '.join(works)}; inside a new user namespace {' '.join(failed)}"
        return [_well(Group.NAMESPACES, "new ones", inside)]
    cause, cure = _why_no_namespace(environment)
    return [
        *checks,
        Check(
            group=Group.NAMESPACES,
            subject=", ".join(failed),
            verdict=Verdict.DEGRADED if nested else Verdict.MISSING,
            what="only inside a new user namespace" if nested else "cannot be made",
            cause=cause,
            evidence="tried: " + ", ".join(f"{name} {error}" for name, error in failed.items()),
            remedy=cure,
            affects=(EVERY_LAUNCH,),
        ),
    ]


def _is_admin(environment: OuterEnvironment) -> bool:
    """Return whether CAP_SYS_ADMIN is effective, or not known not to be."""
    facts = environment.capabilities
    return facts is None or bool(facts.sets.effective >> _SYS_ADMIN & 1)


def _why_no_namespace(environment: OuterEnvironment) -> tuple[str, str]:
    """Return why namespaces cannot be made with our rights, and what to change."""
    engine = engine_kind(environment)
    facts = environment.capabilities
    if facts is not None and not _is_admin(environment):
        bounded = facts.sets.bounding >> _SYS_ADMIN & 1
        cause = (
            CapabilityCause.NOT_IN_OUTER_PERMITTED
            if bounded
            else CapabilityCause.NOT_IN_OUTER_BOUNDING
        )
        where = lost_at(environment, _SYS_ADMIN, permitted=bool(bounded))
        words = "making them needs CAP_SYS_ADMIN, which is not effective here"
        return words, remedy(cause, ("CAP_SYS_ADMIN",), where=where, engine=engine)
    words = "refused although CAP_SYS_ADMIN is effective: a seccomp filter or a limit on namespaces"
    return words, allow_syscalls(("clone", "unshare"), engine)


def _seccomp(environment: OuterEnvironment) -> list[Check]:
    """Return how system calls are answered; which a launch cannot do without is a decision."""
    seccomp = environment.seccomp
    assert seccomp is not None
    failed = {name: trial.error for name, trial in seccomp.syscalls.items() if not trial.works}
    state = _filters(seccomp)
    if not failed:
        what = f"{state}; the {len(seccomp.syscalls)} system calls of a launch work"
        return [_well(Group.SECCOMP, "outer filter", what)]
    cause = "absent from this kernel, or refused by a security module"
    cure = "use a newer kernel, or a label that allows them"
    if seccomp.mode != 0:
        cause = f"refused or hidden by the outer seccomp filter ({state})"
        cure = allow_syscalls(tuple(failed), engine_kind(environment))
    return [
        Check(
            group=Group.SECCOMP,
            subject="outer filter" if seccomp.mode else "system calls",
            verdict=Verdict.DEGRADED,
            what=f"{len(failed)} of {len(seccomp.syscalls)} system calls do not get through",
            cause=cause,
            evidence="tried: " + ", ".join(f"{name} {error}" for name, error in failed.items()),
            remedy=cure,
        )
    ]


def _filters(seccomp: Seccomp) -> str:
    if seccomp.mode == 0:
        return "no outer filter"
    count = "" if seccomp.filters is None else f"{seccomp.filters} "
    return f"{count}outer filter{'' if seccomp.filters == 1 else 's'}"


def _cgroups(environment: OuterEnvironment) -> list[Check]:
    cgroup = environment.cgroup
    assert cgroup is not None
    places = {
        controller: f"{controller} (v{hierarchy.version})"
        for hierarchy in cgroup.hierarchies
        for controller in hierarchy.controllers
        if hierarchy.writable
    }
    listed = ", ".join(places[name] for name in _CONTROLLERS if name in places)
    if not listed:
        return []  # each limit that is refused for it is a finding already
    return [_well(Group.CGROUPS, "controllers", f"mode {cgroup.mode}; writable: {listed}")]


def _mounts(environment: OuterEnvironment) -> list[Check]:
    mounts = environment.mounts
    assert mounts is not None
    if why_not_fresh("proc", "/proc", mounts) or why_not_fresh("sysfs", "/sys", mounts):
        return []  # it matters in a user namespace alone, and there it is a finding
    what = "nothing hides parts of /proc or /sys"
    return [_well(Group.MOUNTS, "overmounts", what)]


def _storage(environment: OuterEnvironment) -> list[Check]:
    storage = environment.storage
    assert storage is not None
    trials = (
        (storage.state_directory, storage.overlay),
        ("tmpfs", storage.overlay_tmpfs),
        ("tmpfs in a user namespace", storage.overlay_user),
    )
    works = ", ".join(where for where, trial in trials if trial.works)
    fails = ", ".join(f"{where} ({trial.error})" for where, trial in trials if not trial.works)
    if not works:
        return []  # a finding already
    what = f"overlay over {storage.root_fstype}, upper on {works}"
    return [_well(Group.STORAGE, "overlay", what + (f"; not on {fails}" if fails else ""))]


def _devices(environment: OuterEnvironment) -> list[Check]:
    devices = environment.devices
    assert devices is not None
    denied = [path for path, node in devices.nodes.items() if node.opens.error in _DENIED]
    seen = f"{len(devices.nodes)} nodes in /dev"
    opened = f", {len(denied)} of them may not be opened" if denied else ", all may be opened"
    making = "mknod works" if devices.mknod.works else f"mknod gives {devices.mknod.error}"
    return [_well(Group.DEVICES, "nodes", f"{seen}{opened}; {making}")]


_DENIED: Final = frozenset({"EPERM", "EACCES"})


def _security(environment: OuterEnvironment) -> list[Check]:
    lsm = environment.lsm
    assert lsm is not None
    modules = ", ".join(lsm.active) or "no module seen"
    label = f"; our label is {lsm.label}" if lsm.label else "; no label"
    return [_well(Group.SECURITY, "modules", modules + label)]


def _limits(environment: OuterEnvironment) -> list[Check]:
    limits = environment.limits
    assert limits is not None
    shown = []
    for name in _SHOWN_LIMITS:
        limit = limits.rlimits.get(f"RLIMIT_{name}")
        if limit is not None:
            hard = "unlimited" if limit.hard is None else str(limit.hard)
            shown.append(f"{name.lower()} {hard}")
    gib = limits.memory_total_bytes / (1 << 30)
    cpus = f"{limits.cpus} processor{'' if limits.cpus == 1 else 's'}"
    what = f"{cpus}, {gib:.1f} GiB; hard limits {', '.join(shown)}"
    return [_well(Group.LIMITS, "hard limits", what)]


_LOOKS: Final[tuple[tuple[Group, Subject, Callable[[OuterEnvironment], list[Check]]], ...]] = (
    (Group.NAMESPACES, Subject.NAMESPACES, _namespaces),
    (Group.SECCOMP, Subject.SECCOMP, _seccomp),
    (Group.CGROUPS, Subject.CGROUP, _cgroups),
    (Group.MOUNTS, Subject.MOUNTS, _mounts),
    (Group.STORAGE, Subject.STORAGE, _storage),
    (Group.DEVICES, Subject.DEVICES, _devices),
    (Group.SECURITY, Subject.LSM, _security),
    (Group.LIMITS, Subject.LIMITS, _limits),
)
