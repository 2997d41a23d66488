"""From a request to a resolution: everything before the first effect of a launch."""

from __future__ import annotations

import os
from functools import cache

import msgspec

from nestbox.errors import NestboxError
from nestbox.oci.seccomp_profile import SeccompProfile
from nestbox.outer.facts import OuterEnvironment, RootFacts, Subject
from nestbox.outer.probe import extend
from nestbox.outer.root import observe_root
from nestbox.plan.compile import compile_plan
from nestbox.plan.steps import LaunchPlan, LoadSeccomp
from nestbox.policy.capability_messages import exec_line
from nestbox.policy.decision import Outcome
from nestbox.policy.environment import PATH
from nestbox.policy.launch_spec import LaunchSpec, MountSpec
from nestbox.policy.paths import candidates, clean
from nestbox.policy.profile import Profile
from nestbox.policy.request import RunRequest
from nestbox.policy.resolution import Resolution, refusal, warnings
from nestbox.policy.resolve import required_subjects, resolve, wanted_seccomp
from nestbox.policy.shipped_profiles import load_shipped, seccomp_file
from nestbox.policy.validation import check_request
from nestbox.runtime.context import Context
from nestbox.runtime.seccomp import compile_filter, read_profile

LAYERS = "layers"
_REASONS = frozenset({Subject.ANCESTRY, Subject.ENGINE})
_SHIPPED_FILTERS = frozenset({"default", "strict"})


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
    facts = environment or _observe(request, profile, context)
    root = observe_root(
        request.root.directory,
        candidates(
            request.argv[0],
            clean(request.working_directory or "/", what="-w"),
            _search_path(request),
        ),
    )

    def decide(facts: OuterEnvironment) -> Resolution:
        return resolve(
            request,
            profile,
            facts,
            root,
            container_id=container,
            seccomp_profile=filter_profile,
            own_directories=(context.root, context.storage),
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
    wanted = wanted_seccomp(request, profile)
    if wanted == "unconfined":
        return None
    if wanted in _SHIPPED_FILTERS:
        return _shipped_filter(wanted)
    return read_profile(wanted)


@cache
def _shipped_filter(name: str) -> SeccompProfile:
    return read_profile(seccomp_file(name))


@cache
def _shipped_profile(name: str) -> Profile | None:
    return load_shipped(name)


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
    root = launch.root
    if root.upper is not None:
        upper = upper_directory(root.upper, prepared.container)
        root = msgspec.structs.replace(root, upper=upper)
    return msgspec.structs.replace(launch, root=root, mounts=mounts)


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
    seccomp = None
    if launch.seccomp is not None:
        compiled = compile_filter(
            launch.seccomp, cache_directory=os.path.join(context.storage, "seccomp")
        )
        seccomp = LoadSeccomp(program=compiled.program, flags=int(compiled.flags))
    capabilities = prepared.environment.capabilities
    assert capabilities is not None
    return compile_plan(
        launch,
        seccomp=seccomp,
        last_capability=capabilities.last,
        foreground=True,
        wait_for_cgroup=any(cgroup.version == 1 for cgroup in launch.cgroups),
    )
