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
# What can forbid one, and what the engine around us calls the setting.
_FOR_REASONS = frozenset({Subject.SECCOMP, Subject.LSM, Subject.ENGINE})
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
    if request.uid_maps or request.gid_maps:
        return True
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
    needed |= _for_storage(request, environment)
    needed |= _for_limits(request, profile, environment)
    if _is_connected(request, profile):
        needed |= {Subject.NETWORK, Subject.DEVICES}
    if request.devices or profile.devices.want == "all":
        needed |= {Subject.DEVICES}
    needed |= _for_process_limits(request, profile)
    if profile.lsm.want != "keep" or request.security.apparmor or _relabels(request):
        needed |= {Subject.LSM}
    if gets_user_namespace(request, profile, environment):
        needed |= {*_FOR_USER_NAMESPACE, Subject.DEVICES}
        if _lacks_user_namespace(environment):
            needed |= _FOR_REASONS
    needed |= _for_nesting(environment)
    if _mounts_matter(request, environment) or _is_readonly_directory(request, profile):
        needed |= {Subject.MOUNTS}
    return frozenset(needed)


def _for_nesting(environment: OuterEnvironment) -> set[Subject]:
    """Return what matters only where an engine, or another user namespace, is around us."""
    needed: set[Subject] = set()
    if environment.capabilities is not None and environment.capabilities.no_new_privs:
        needed |= {Subject.NAMESPACES}  # a sandbox may be around us in which nobody mounts
        if _lacks_user_namespace(environment):
            needed |= _FOR_REASONS
    if may_be_filtered(environment):
        needed |= {Subject.SECCOMP, Subject.DEVICES}
    if environment.user_namespace is not None and not environment.user_namespace.initial:
        needed |= {Subject.NAMESPACES, Subject.MOUNTS}
    if lacks_pivot(environment):
        needed |= {Subject.MOUNTS}
    seccomp = environment.seccomp
    if seccomp is not None and not all(trial.works for trial in seccomp.syscalls.values()):
        needed |= {Subject.LSM}  # an engine that filters may confine as well
    return needed


def _for_process_limits(request: RunRequest, profile: Profile) -> set[Subject]:
    from nestbox.policy.limits import wants_many_files

    scored = request.oom_score_adj is not None or profile.oom_score_adj is not None
    if not (request.limits or profile.rlimits or scored):
        return set()
    many = {Subject.SYSCTLS} if wants_many_files(request, profile) else set()
    return {Subject.LIMITS, *many}


def _is_connected(request: RunRequest, profile: Profile) -> bool:
    """Return whether a network with a way out of its own is asked for."""
    wanted = request.network or ("private" if request.ports else profile.network.want)
    return wanted not in {"none", "host"}


def _is_readonly_directory(request: RunRequest, profile: Profile) -> bool:
    """Return whether what is mounted below the root has to become read-only with it."""
    from nestbox.policy.request import RootKind, RootMode

    if request.root.kind is not RootKind.DIRECTORY:
        return False
    named = request.read_only or request.root.mode is RootMode.READ_ONLY
    return named or profile.root.want == "ro"


def _for_storage(request: RunRequest, environment: OuterEnvironment) -> set[Subject]:
    from nestbox.policy.request import THROWN_AWAY, RootKind, RootMode

    if request.root.kind is not RootKind.HOST and request.root.mode not in THROWN_AWAY:
        return set()
    storage = environment.storage
    full = storage is not None and (storage.full or storage.full_user)
    trials = (storage.bare, storage.bare_user) if storage else ()
    if full or request.root.mode is RootMode.FUSE or not all(x is None or x.works for x in trials):
        return {Subject.STORAGE, Subject.MOUNTS, Subject.TOOLS, Subject.DEVICES}
    return {Subject.STORAGE, Subject.MOUNTS}


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
    if request.security.writable_cgroups or profile.cgroup.want == "rw":
        # For what engines in there limit by, each as if it were asked for.
        controllers = {*controllers, "memory", "cpu", "pids"}
    cgroup = environment.cgroup
    if (
        cgroup
        and cgroup.first_namespace is None
        and any(
            is_blocked(hierarchy_of(cgroup.hierarchies, controller), controller)
            for controller in controllers
        )
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


def gets_user_namespace(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> bool:
    """Return whether the container gets a user namespace of its own, if it can have one."""
    if wants_user_namespace(request, profile):
        return True
    return environment.capabilities is not None and not holds(environment, "CAP_SYS_ADMIN")


def _lacks_user_namespace(environment: OuterEnvironment) -> bool:
    """Return whether something that a user namespace takes was tried and failed."""
    facts = environment.namespaces
    if facts is None:
        return False
    tried = (*facts.create_with_user.values(), *facts.user_steps.values())
    return not all(trial.works for trial in tried)


def may_be_filtered(environment: OuterEnvironment) -> bool:
    """Return whether a filter is on us, or an engine is around us, so that trying is worth it.

    Whom engines do not trust with the machine's kernel they give no CAP_SYS_MODULE, or a user
    namespace.
    """
    rights, namespace = environment.capabilities, environment.user_namespace
    if rights is None or namespace is None:
        return False
    if rights.filtered:
        return True
    return not namespace.initial or not rights.sets.bounding >> BY_NAME["CAP_SYS_MODULE"] & 1


def lacks_namespace(environment: OuterEnvironment, kind: str) -> bool:
    """Return whether the kernel was built without namespaces of a kind (``"pid"``)."""
    shown = need(environment.kernel, Subject.KERNEL).namespaces
    return bool(shown) and kind not in shown


def lacks_file_system(environment: OuterEnvironment, fstype: str) -> bool:
    """Return whether the kernel was built without a file system that is never a module."""
    shown = need(environment.kernel, Subject.KERNEL).file_systems
    return bool(shown) and fstype not in shown


def lacks_pivot(environment: OuterEnvironment) -> bool:
    """Return whether a filter that an engine put on us was seen to stop pivot_root(2)."""
    if environment.seccomp is None:
        return False
    trial = environment.seccomp.syscalls.get("pivot_root")
    return trial is not None and not trial.works


def lacks_chroot(environment: OuterEnvironment, *, new_user_namespace: bool) -> bool:
    """Return whether chroot(2) fails: a filter stops it, or the capability for it is missing.

    In a new user namespace we have the capability; the filters of engines go by their own.
    """
    seccomp = environment.seccomp
    trial = None if seccomp is None else seccomp.syscalls.get("chroot")
    if trial is not None and not trial.works:
        return True
    return not new_user_namespace and not holds(environment, "CAP_SYS_CHROOT")


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
