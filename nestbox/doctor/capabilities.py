"""Checks about capabilities: what is missing here, where it was lost, what gives it back. Pure."""

from __future__ import annotations

from nestbox.doctor.outlook import decide
from nestbox.doctor.report import Check, Group, Verdict
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import EngineKind, OuterEnvironment, Subject
from nestbox.policy.capabilities import CapabilityResolution, decide_capabilities
from nestbox.policy.capability_decisions import engine_kind
from nestbox.policy.capability_remedies import remedy
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.decision import CapabilityCause, CapabilityDecision, Outcome, Scope
from nestbox.policy.profile import Profile

# A sysctl, the value with which the kernel refuses what the capability is for, and the capability.
# Source: proc_sys_kernel(5), kernel_lockdown(7).
_GATES = (
    ("kernel.modules_disabled", "1", "CAP_SYS_MODULE", "until the next boot no module is loaded"),
    ("kernel.kexec_load_disabled", "1", "CAP_SYS_BOOT", "until the next boot kexec is refused"),
)
# Engines with ALL for a name in the setting that adds capabilities.
_KNOW_ALL = frozenset(
    {EngineKind.DOCKER, EngineKind.PODMAN, EngineKind.NESTBOX, EngineKind.KUBERNETES}
)
_MANY = 10  # capabilities that are not listed one by one
_NOT_GIVEN = "cannot be given to a container"
_NESTED = "power over the container's own user namespace only"


def check_capabilities(
    environment: OuterEnvironment, profiles: tuple[Profile, ...]
) -> tuple[Check, ...]:
    """Return the checks about capabilities, over the user namespace that we are in."""
    if environment.capabilities is None:
        return (
            Check(
                group=Group.CAPABILITIES,
                subject="capabilities",
                verdict=Verdict.UNKNOWN,
                what="not observed",
                cause="the recording has no capability sets",
                remedy="record the environment again: nestbox doctor --record FILE",
            ),
        )
    resolutions = tuple(_decide(environment, profile) for profile in profiles)
    real = tuple(decide(environment, profile) for profile in profiles)
    nested = any(resolution.scope is Scope.USERNS for resolution in real)
    missing = _missing(environment, resolutions, _NESTED if nested else _NOT_GIVEN)
    kept = _kept(real)
    gated = _gated(environment)
    if missing or kept:
        return (*missing, *kept, *gated)
    every = f"all {environment.capabilities.last + 1} of this kernel"
    what = every if _asks_for_all(profiles) else "all that is asked for"
    well = Check(
        group=Group.CAPABILITIES,
        subject="capabilities",
        verdict=Verdict.OK,
        what=f"{what} can be given to a container",
    )
    return (well, *gated)


def _asks_for_all(profiles: tuple[Profile, ...]) -> bool:
    return any("ALL" in profile.capabilities.grant for profile in profiles)


def missing_names(environment: OuterEnvironment, profiles: tuple[Profile, ...]) -> tuple[str, ...]:
    """Return the names of what some shipped profile wants and cannot be given here."""
    names: dict[str, int] = {}
    for profile in profiles:
        for decision in _absent(_decide(environment, profile)):
            names[decision.name] = decision.number
    return tuple(sorted(names, key=lambda name: names[name]))


def _decide(environment: OuterEnvironment, profile: Profile) -> CapabilityResolution:
    """Return what a container in our own user namespace would get."""
    ask = CapabilityAsk(
        base=profile.capabilities,
        profile=profile.name,
        privileged=profile.name == "privileged",
        no_new_privs=profile.no_new_privs,
    )
    return decide_capabilities(ask, environment)


def _absent(resolution: CapabilityResolution) -> tuple[CapabilityDecision, ...]:
    return tuple(
        decision
        for decision in resolution.decisions
        if decision.outcome in {Outcome.WEAKENED, Outcome.REFUSED}
        and decision.cause is not CapabilityCause.NEEDS_SETPCAP
    )


def _missing(
    environment: OuterEnvironment, resolutions: tuple[CapabilityResolution, ...], what: str
) -> tuple[Check, ...]:
    """Return one check for all that were lost by one cause at one place."""
    groups: dict[tuple[CapabilityCause, str, str], dict[str, CapabilityDecision]] = {}
    affected: dict[str, list[str]] = {}
    for resolution in resolutions:
        for decision in _absent(resolution):
            key = (decision.cause, decision.lost_at, decision.detail)
            groups.setdefault(key, {})[decision.name] = decision
            affected.setdefault(decision.name, []).append(resolution.label)
    checks = []
    for (cause, place, detail), group in groups.items():
        names = tuple(sorted(group, key=lambda name: group[name].number))
        labels = dict.fromkeys(label for name in names for label in affected[name])
        words, _, evidence = detail.partition(" (")
        checks.append(
            Check(
                group=Group.CAPABILITIES,
                subject=", ".join(names),
                verdict=Verdict.MISSING,
                what=what,
                cause=words,
                evidence=evidence.removesuffix(")"),
                lost_at=place,
                remedy=_remedy(cause, names, place, environment),
                affects=tuple(labels),
            )
        )
    return tuple(checks)


def _kept(resolutions: tuple[CapabilityResolution, ...]) -> tuple[Check, ...]:
    """Return the check that a container keeps what it should not, for want of CAP_SETPCAP."""
    first: CapabilityDecision | None = None
    labels = []
    for resolution in resolutions:
        kept = [
            decision
            for decision in resolution.decisions
            if decision.outcome in {Outcome.WEAKENED, Outcome.REFUSED}
            and decision.cause is CapabilityCause.NEEDS_SETPCAP
        ]
        if kept:
            first = kept[0]
            labels.append(f"{resolution.label} ({len(kept)} too many)")
    if first is None:
        return ()
    return (
        Check(
            group=Group.CAPABILITIES,
            subject="bounding set",
            verdict=Verdict.DEGRADED,
            what="cannot be cut to what a container is to have",
            cause=first.detail,
            remedy=first.remedy,
            affects=tuple(labels),
        ),
    )


def _gated(environment: OuterEnvironment) -> tuple[Check, ...]:
    """Return a check for each capability that we hold and a sysctl makes void."""
    facts, sysctls = environment.capabilities, environment.sysctls
    if facts is None or sysctls is None:
        return ()
    return tuple(
        Check(
            group=Group.CAPABILITIES,
            subject=name,
            verdict=Verdict.DEGRADED,
            what="held, and of little use",
            cause=f"{sysctl} is {value}: {effect}",
            evidence=f"{sysctl} = {value}",
            remedy="reboot without that setting, or do without",
        )
        for sysctl, value, name, effect in _GATES
        if sysctls.get(sysctl) == value and facts.sets.effective >> BY_NAME[name] & 1
    )


def summary(environment: OuterEnvironment, profiles: tuple[Profile, ...]) -> str:
    """Return the line that says how many capabilities there are and which are missing."""
    if environment.capabilities is None:
        return f"capabilities: not observed ({Subject.CAPABILITIES.value} is not in the recording)"
    known = environment.capabilities.last + 1
    missing = missing_names(environment, profiles)
    head = f"{known} capabilities known to this kernel; "
    if not missing:
        return head + ("none missing" if _asks_for_all(profiles) else "none is missed here")
    if len(missing) == known:
        return head + "all missing"
    if len(missing) > _MANY:
        return f"{head}{len(missing)} missing, {known - len(missing)} held (nestbox caps)"
    return f"{head}{len(missing)} missing: {', '.join(missing)}"


def _remedy(
    cause: CapabilityCause, names: tuple[str, ...], place: str, environment: OuterEnvironment
) -> str:
    """Return the policy's remedy; for many capabilities an engine that knows ALL is told that."""
    engine = engine_kind(environment)
    if len(names) > _MANY and engine in _KNOW_ALL:
        everything = remedy(cause, ("CAP_ALL",), where=place, engine=engine)
        return f"{everything}, or those of them that are needed"
    return remedy(cause, names, where=place, engine=engine)
