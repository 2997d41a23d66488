"""From a request to a resolution: everything before the first effect of a launch."""

from __future__ import annotations

import os
from functools import cache

import msgspec

from nestbox.errors import EnvironmentUnreadable, NestboxError
from nestbox.oci.seccomp_profile import SeccompProfile
from nestbox.outer.facts import OuterEnvironment, RootFacts, Subject, Trial
from nestbox.outer.probe import extend
from nestbox.outer.root import observe_root
from nestbox.plan.compile import compile_plan
from nestbox.plan.steps import LaunchPlan
from nestbox.policy.capability_messages import exec_line
from nestbox.policy.decision import Outcome
from nestbox.policy.environment import PATH
from nestbox.policy.kernel_calls import calls_refusal
from nestbox.policy.launch_spec import LaunchSpec, MountSpec
from nestbox.policy.paths import candidates, clean
from nestbox.policy.profile import Profile
from nestbox.policy.request import RunRequest
from nestbox.policy.resolution import Resolution, refusal, warnings
from nestbox.policy.resolve import required_subjects, resolve, wanted_seccomp
from nestbox.policy.shipped_profiles import load_shipped
from nestbox.policy.subjects import gets_user_namespace
from nestbox.policy.validation import check_request
from nestbox.runtime.context import STORAGE_ROOT, Context
from nestbox.runtime.root_facts import with_parts
from nestbox.runtime.roots import STATE_ROOT
from nestbox.runtime.seccomp import read_named
from nestbox.runtime.seccomp_step import filter_step

LAYERS = "layers"
_REASONS = frozenset({Subject.ANCESTRY, Subject.ENGINE})


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A request with everything that was decided about it. Nothing exists because of it yet."""

    request: RunRequest
    profile: Profile
    environment: OuterEnvironment
    root: RootFacts
    resolution: Resolution
    container: str


def prepare(
    request: RunRequest, context: Context, *, environment: OuterEnvironment | None = None
) -> Prepared:
    """Return what a launch of this request would be.

    ``environment`` is a recorded one to decide against; without it this one is observed, as far
    as the request needs it. A refusal is in the resolution and not raised.

    Raises:
        NestboxError: the request, its profile or its root is no valid one.
    """
    check_request(request)
    profile = _profile(request, context)
    container = request.name or os.urandom(6).hex()
    filter_profile = _filter_profile(request, profile)
    facts = _recorded(request, profile, environment) or _observe(request, profile, context)
    root = _observe_root(request, facts)
    if environment is None:
        root = with_parts(root, request, profile, facts)

    tried = _try_sysctls(request, profile, facts) if environment is None else {}

    def decide(facts: OuterEnvironment) -> Resolution:
        return resolve(
            request,
            profile,
            facts,
            root,
            container_id=container,
            seccomp_profile=filter_profile,
            own_directories=tuple(
                # A nestbox in the container keeps its own in these, if nobody tells it others.
                dict.fromkeys(
                    (
                        context.root,
                        context.storage,
                        *(path for path in (STATE_ROOT, STORAGE_ROOT) if os.path.lexists(path)),
                    )
                )
            ),
            sysctl_trials=tried,
        )

    resolution = decide(facts)
    if environment is None and _lacks_something(resolution):
        # The same answer with more words: which ancestor took it, and what brings it back.
        facts = extend(
            facts, _REASONS, state_directory=context.storage, environment=context.environment
        )
        resolution = decide(facts)
    return Prepared(
        request=request,
        profile=profile,
        environment=facts,
        root=root,
        resolution=resolution,
        container=container,
    )


def _observe_root(request: RunRequest, facts: OuterEnvironment) -> RootFacts:
    """Return what is known of the root. Raises NestboxError: what of the root cannot be used.

    Where a filter stops the calls with which it is looked at, that is the error.
    """
    try:
        return observe_root(
            request.root.directory,
            candidates(
                request.argv[0],
                clean(request.working_directory or "/", what="-w"),
                _search_path(request),
            ),
        )
    except NestboxError as error:
        stopped = calls_refusal(facts)
        if stopped is None:
            raise
        raise stopped from error


def _try_sysctls(
    request: RunRequest, profile: Profile, facts: OuterEnvironment
) -> dict[str, Trial]:
    """Return what comes of setting the sysctls that are asked for; most requests have none."""
    if not (request.sysctls or profile.sysctls):
        return {}
    from nestbox.outer.sysctl_trials import try_sysctls
    from nestbox.policy.sysctls import sysctls_to_try

    nested = gets_user_namespace(request, profile, facts)
    found: dict[str, Trial] = {}
    for kind, values in sysctls_to_try(request, profile).items():
        found |= try_sysctls(values, kind, in_user_namespace=nested)
    return found


def _search_path(request: RunRequest) -> str:
    values = [x for x in request.environment if x.startswith("PATH=")]
    return values[-1].removeprefix("PATH=") if values else PATH


def _lacks_something(resolution: Resolution) -> bool:
    """Whether anything asked for is not given, so that it is worth looking for who took it."""
    lacking = {Outcome.WEAKENED, Outcome.REFUSED}
    return any(decision.outcome in lacking for decision in resolution.capabilities.decisions)


def _profile(request: RunRequest, context: Context) -> Profile:
    name = "privileged" if request.privileged else request.profile or "default"
    shipped = _shipped_profile(name)
    if shipped is not None:
        return shipped
    from nestbox.policy.profile_file import find_profile

    return find_profile(name, context.environment)


def _filter_profile(request: RunRequest, profile: Profile) -> SeccompProfile | None:
    return read_named(wanted_seccomp(request, profile))


@cache
def _shipped_profile(name: str) -> Profile | None:
    return load_shipped(name)


def _recorded(
    request: RunRequest, profile: Profile, environment: OuterEnvironment | None
) -> OuterEnvironment | None:
    """Return a recorded environment that is to be decided against, if there is one.

    Raises:
        EnvironmentUnreadable: it lacks what this request needs, as one of an older version can.
    """
    if environment is None:
        return None
    needed = required_subjects(request, profile, environment)
    missing = sorted(one.value for one in needed if getattr(environment, one.value) is None)
    if missing:
        raise EnvironmentUnreadable(
            "cannot decide against the recorded environment",
            cause=f"it does not say what this request needs: {', '.join(missing)}",
            remedy="record it again with this version: nestbox doctor --record FILE",
        )
    return environment


def _observe(request: RunRequest, profile: Profile, context: Context) -> OuterEnvironment:
    """Observe what the decisions need; what that is can depend on what was observed."""
    known = OuterEnvironment()
    while True:
        needed = required_subjects(request, profile, known)
        if all(getattr(known, subject.value) is not None for subject in needed):
            return known
        known = extend(
            known,
            needed,
            state_directory=context.storage,
            all_devices=profile.devices.want == "all" or bool(request.devices),
            environment=context.environment,
        )


def launch_of(prepared: Prepared) -> LaunchSpec:
    """Return what is to be launched. Raises Refused with everything that is missing."""
    launch = prepared.resolution.launch
    if launch is None:
        raise refusal(prepared.resolution) or NestboxError(
            "cannot launch", cause="the request was refused", remedy="run `nestbox plan`"
        )
    mounts = tuple(mount for mount in launch.mounts if not _is_absent(mount))
    volumes = None
    if launch.volumes is not None:
        volumes = upper_directory(launch.volumes, prepared.container)
        mounts = tuple(_placed(mount, volumes) for mount in mounts)
    root = launch.root
    if root.upper is not None:
        upper = upper_directory(root.upper, prepared.container)
        root = msgspec.structs.replace(root, upper=upper)
    return msgspec.structs.replace(launch, root=root, mounts=mounts, volumes=volumes)


def _placed(mount: MountSpec, directory: str) -> MountSpec:
    """Return a bind of a new directory with the path that it gets."""
    if not mount.new_directory:
        return mount
    return msgspec.structs.replace(mount, source=f"{directory}/volume-{mount.source}")


def _is_absent(mount: MountSpec) -> bool:
    """Whether a mount may be left out and has nothing to show here."""
    return mount.optional and mount.fstype == "bind" and not os.path.exists(mount.source)


def notices(prepared: Prepared) -> tuple[str, ...]:
    """Return the lines to show before the launch: what is weaker, and an exec that will fail."""
    resolution = prepared.resolution
    will_fail = exec_line(resolution.capabilities, prepared.root.program)
    lines = warnings(resolution, prepared.container)
    return lines if will_fail is None else (*lines, will_fail)


def upper_directory(storage: str, container: str) -> str:
    """Return the directory of one container's upper layers."""
    return f"{storage}/{LAYERS}/{container}"


def plan_of(prepared: Prepared, context: Context) -> LaunchPlan:
    """Return the steps of the launch. Raises Refused."""
    launch = launch_of(prepared)
    seccomp = filter_step(
        launch.seccomp,
        shim=launch.seccomp_shim,
        cache_directory=os.path.join(context.storage, "seccomp"),
    )
    capabilities = prepared.environment.capabilities
    assert capabilities is not None
    return compile_plan(
        launch,
        seccomp=seccomp,
        last_capability=capabilities.last,
        foreground=True,
        wait_for_cgroup=any(cgroup.version == 1 or cgroup.scope for cgroup in launch.cgroups),
    )
