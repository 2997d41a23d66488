"""Which facts the decisions of one request need, so that a plain launch observes little. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.derived import hierarchy_of
from nestbox.outer.facts import OuterEnvironment, Subject

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

Fact = TypeVar("Fact")

_ALWAYS = frozenset(
    {Subject.KERNEL, Subject.CAPABILITIES, Subject.IDENTITY, Subject.USER_NAMESPACE}
)
_FOR_USER_NAMESPACE = frozenset(
    {Subject.TOOLS, Subject.MOUNTS, Subject.NAMESPACES, Subject.SYSCTLS}
)
_NOTHING = OuterEnvironment()


def need(fact: Fact | None, subject: Subject) -> Fact:
    """Return the fact; a missing one is a mistake of the caller, who did not observe it."""
    if fact is None:
        raise AssertionError(f"a decision needs {subject.value}, which was not observed")
    return fact


def holds(environment: OuterEnvironment, *names: str) -> bool:
    """Return whether all these capabilities are in our own effective set."""
    effective = need(environment.capabilities, Subject.CAPABILITIES).sets.effective
    return all(effective >> BY_NAME[name] & 1 for name in names)


def in_initial_namespace(environment: OuterEnvironment) -> bool:
    """Return whether our user namespace is the one that the kernel began with."""
    return need(environment.user_namespace, Subject.USER_NAMESPACE).initial


def wants_user_namespace(request: RunRequest, profile: Profile) -> bool:
    """Return whether a new user namespace was asked for, by flag or by the profile."""
    return (request.user_namespace or profile.user_namespace.want) != "host"


def required_subjects(
    request: RunRequest, profile: Profile, environment: OuterEnvironment = _NOTHING
) -> frozenset[Subject]:
    """Return the facts that are needed, as far as those known already can tell.

    What a launch needs can depend on what was found (only without CAP_SYS_ADMIN does it need to
    know about user namespaces), so the caller observes what is missing and asks again until
    nothing is.
    """
    needed = set(_ALWAYS)
    needed |= _for_storage(request)
    needed |= _for_limits(request, profile, environment)
    if request.devices or profile.devices.want == "all":
        needed |= {Subject.DEVICES}
    if request.limits or profile.rlimits:
        needed |= {Subject.LIMITS}
    if profile.lsm.want != "keep" or request.security.apparmor or _relabels(request):
        needed |= {Subject.LSM}
    if _new_user_namespace(request, profile, environment):
        needed |= _FOR_USER_NAMESPACE
    if may_be_filtered(environment):
        needed |= {Subject.SECCOMP}
    if _mounts_matter(request, environment) or _is_readonly_directory(request, profile):
        needed |= {Subject.MOUNTS}
    return frozenset(needed)


def _is_readonly_directory(request: RunRequest, profile: Profile) -> bool:
    """Return whether what is mounted below the root has to become read-only with it."""
    from nestbox.policy.request import RootKind, RootMode

    if request.root.kind is not RootKind.DIRECTORY:
        return False
    named = request.read_only or request.root.mode is RootMode.READ_ONLY
    return named or profile.root.want == "ro"


def _for_storage(request: RunRequest) -> set[Subject]:
    from nestbox.policy.request import RootKind, RootMode

    if request.root.kind is RootKind.HOST:
        return {Subject.STORAGE, Subject.MOUNTS}
    return {Subject.STORAGE} if request.root.mode is RootMode.OVERLAY else set()


def _for_limits(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> set[Subject]:
    needed: set[Subject] = set()
    controllers = _limited_controllers(request, profile)
    mounted = request.security.writable_cgroups or profile.cgroup.want != "none"
    if controllers or mounted:
        needed.add(Subject.CGROUP)
    if "cpu" in controllers:
        needed.add(Subject.LIMITS)
    if environment.cgroup and any(
        is_blocked(hierarchy_of(environment.cgroup.hierarchies, controller), controller)
        for controller in controllers
    ):
        needed.add(Subject.NAMESPACES)
    return needed


def _limited_controllers(request: RunRequest, profile: Profile) -> set[str]:
    limits = profile.limits
    values = {
        "memory": (request.memory_bytes, limits.memory_bytes),
        "cpu": (request.cpus, limits.cpus),
        "pids": (request.pids_limit, limits.pids),
    }
    return {name for name, pair in values.items() if pair != (None, None)}


def is_blocked(hierarchy: CgroupHierarchy | None, controller: str) -> bool:
    """Return whether a controller of v2 cannot be had for the children of our own cgroup.

    It can be enabled there only when our own cgroup has it and no process is in that, unless it is
    the root of the hierarchy. Source: cgroup-v2.rst, "No Internal Process Constraint".
    """
    if hierarchy is None or hierarchy.version == 1:
        return False
    if controller in hierarchy.enabled:
        return False
    return hierarchy.processes != 0 or controller not in hierarchy.controllers


def _new_user_namespace(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> bool:
    if wants_user_namespace(request, profile):
        return True
    return environment.capabilities is not None and not holds(environment, "CAP_SYS_ADMIN")


def may_be_filtered(environment: OuterEnvironment) -> bool:
    """Return whether an engine may have put a filter on us, so that trying calls is worth it.

    Engines filter who is not privileged, and whom they do not trust with the machine's kernel
    they give no CAP_SYS_MODULE, or a user namespace.
    """
    rights, namespace = environment.capabilities, environment.user_namespace
    if rights is None or namespace is None:
        return False
    return not namespace.initial or not rights.sets.bounding >> BY_NAME["CAP_SYS_MODULE"] & 1


def _mounts_matter(request: RunRequest, environment: OuterEnvironment) -> bool:
    """Return whether a volume is asked for in a way that the mount of its source can forbid."""
    from nestbox.oci.options import TABLE, Option

    nothing = Option()
    options = [TABLE.get(word, nothing) for mount in request.mounts for word in mount.options]
    if any(option.propagation in {"shared", "slave"} for option in options):
        return True
    nested = environment.user_namespace is not None and not environment.user_namespace.initial
    return nested and any(option.cleared for option in options)


def _relabels(request: RunRequest) -> bool:
    return any(word in {"z", "Z"} for mount in request.mounts for word in mount.options)
