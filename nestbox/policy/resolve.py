"""From a request, a profile and facts to decisions and a launch: every choice is made here. Pure.

The same values give the same answer, so that ``plan`` and ``doctor``, which call this without a
launch, cannot disagree with what ``run`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.derived import outside_id
from nestbox.policy.capabilities import decide_capabilities
from nestbox.policy.capability_wish import CapabilityAsk
from nestbox.policy.cgroups import decide_limits
from nestbox.policy.confinement import (
    decide_label,
    decide_no_new_privs,
    decide_seccomp,
    wanted_seccomp,
)
from nestbox.policy.devices import DeviceChoice, decide_devices
from nestbox.policy.entry import decide_entry
from nestbox.policy.environment import environment_of
from nestbox.policy.host_mounts import empty_directories
from nestbox.policy.identity import Person, decide_identity, is_mapped
from nestbox.policy.kernel_calls import decide_calls, has_old_mounts, with_consequences
from nestbox.policy.launch_spec import LaunchSpec, MountSpec, ProcessSpec
from nestbox.policy.limits import decide_oom_score, decide_rlimits
from nestbox.policy.mounts import MountChoice, Setting, decide_mounts
from nestbox.policy.namespaces import decide_namespaces
from nestbox.policy.naming import decide_hostname
from nestbox.policy.network import NetworkChoice, decide_network
from nestbox.policy.network_files import network_files
from nestbox.policy.outer_filter import decide_shim, decide_start
from nestbox.policy.own_cgroup import own_cgroups
from nestbox.policy.paths import candidates, clean, decide_masks
from nestbox.policy.resolution import Resolution, refusal, warnings
from nestbox.policy.root import RootChoice, decide_root, maps_own_ids
from nestbox.policy.root_place import Separation
from nestbox.policy.subjects import lacks_namespace, required_subjects
from nestbox.policy.sysctls import decide_sysctls
from nestbox.policy.userns import UserNamespaceChoice, decide_user_namespace
from nestbox.policy.validation import check_name, check_request
from nestbox.policy.volumes import decide_volumes
from nestbox.policy.wish import by_flag, by_nestbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestbox.oci.seccomp_profile import SeccompProfile
    from nestbox.outer.facts import Limit, OuterEnvironment, RootFacts, Trial
    from nestbox.policy.capabilities import CapabilityResolution
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest
    from nestbox.policy.wish import Wish

__all__ = [
    "Resolution",
    "check_name",
    "refusal",
    "required_subjects",
    "resolve",
    "wanted_seccomp",
    "warnings",
]

_HOSTNAME_LENGTH: Final = 12  # of the container's id, as docker does
_TTY_GROUP: Final = 5


class _Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """Who and where the container is: what all further decisions depend on."""

    user_namespace: UserNamespaceChoice
    person: Person
    network: NetworkChoice
    capabilities: CapabilityResolution
    no_new_privs: bool
    decisions: tuple[Decision, ...]


class _Tree(msgspec.Struct, frozen=True, kw_only=True):
    """The container's file tree, and with it whether it has a pid namespace of its own."""

    root: RootChoice
    default: MountChoice
    mounts: tuple[MountSpec, ...]
    devices: DeviceChoice
    decisions: tuple[Decision, ...]


def resolve(  # noqa: PLR0913 - four subjects, and what only the runtime knows
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    root: RootFacts,
    *,
    container_id: str,
    seccomp_profile: SeccompProfile | None = None,
    own_directories: tuple[str, ...] = (),
    sysctl_trials: Mapping[str, Trial] | None = None,
) -> Resolution:
    """Return what becomes of the request; ``refusal`` of the result tells whether it may go on.

    ``environment`` has at least the ``required_subjects``, ``seccomp_profile`` is what
    ``wanted_seccomp`` named, and ``own_directories`` are where the caller keeps state,
    and ``sysctl_trials`` what came of trying those of ``sysctls_to_try``.

    Raises:
        UsageError: the request is malformed or contradicts itself.
        ProfileError: a value in the profile is malformed.
        AssertionError: a fact that is needed was not observed, which is the caller's mistake.
    """
    check_request(request)
    isolation = _isolate(request, profile, environment, root)
    tree = _build_tree(request, profile, environment, root, isolation)
    masked, readonly, mask_decisions = decide_masks(request, profile, covered=tree.default.covered)
    sysctls, sysctl_decisions = decide_sysctls(
        request,
        profile,
        sysctl_trials or {},
        own_ipc=not lacks_namespace(environment, "ipc"),
        own_network=isolation.network.own,
        covered=tree.default.covered,
    )
    rlimits, rlimit_decisions = decide_rlimits(request, profile, environment)
    score, score_decisions = decide_oom_score(request, profile, environment)
    limited, limit_decisions = decide_limits(request, profile, environment)
    cgroups, cgroup_decisions = own_cgroups(request, profile, environment, limited)
    seccomp, seccomp_decision = decide_seccomp(
        request,
        profile,
        environment,
        granted=isolation.capabilities.granted,
        filter_profile=seccomp_profile,
    )
    new_keyring, call_decisions = decide_calls(environment)
    plain_clone, start_decisions = decide_start(environment)
    shim, shim_decisions = decide_shim(seccomp, environment)
    hostname = request.hostname or container_id[:_HOSTNAME_LENGTH]
    namespaces, namespace_decisions = decide_namespaces(
        environment,
        user=isolation.user_namespace.new,
        pid=tree.default.own_pid,
        network=isolation.network.own,
    )
    name_to_set, name_decisions = decide_hostname(_hostname_wish(request, hostname), environment)
    files, file_mounts = network_files(request, root, hostname, isolation.network)
    launch = LaunchSpec(
        process=msgspec.structs.replace(
            _process(request, isolation, rlimits, hostname), oom_score_adj=score
        ),
        capabilities=isolation.capabilities.sets,
        drop_bounding=isolation.capabilities.drop_bounding,
        namespaces=namespaces,
        root=tree.root.spec,
        mounts=(*empty_directories(request, own_directories), *tree.mounts, *file_mounts),
        devices=tree.devices.devices,
        device_links=tree.devices.links,
        volumes=own_directories[1] if any(x.new_directory for x in tree.mounts) else None,
        uid_map=isolation.user_namespace.uid_map,
        gid_map=isolation.user_namespace.gid_map,
        map_with_tools=isolation.user_namespace.with_tools,
        masked_paths=masked,
        readonly_paths=readonly,
        sysctls=sysctls,
        hostname=name_to_set,
        loopback=isolation.network.loopback,
        network=isolation.network.connection,
        new_keyring=new_keyring,
        cgroups=cgroups,
        seccomp=seccomp,
        seccomp_shim=shim,
        plain_clone=plain_clone,
        old_mounts=has_old_mounts(environment),
        files=files,
    )
    decisions = (
        *call_decisions,
        *start_decisions,
        *with_consequences(call_decisions, (*isolation.decisions, *tree.decisions)),
        *mask_decisions,
        *namespace_decisions,
        *name_decisions,
        seccomp_decision,
        *shim_decisions,
        *decide_label(request, profile, environment),
        *limit_decisions,
        *cgroup_decisions,
        *rlimit_decisions,
        *score_decisions,
        *sysctl_decisions,
    )
    resolution = Resolution(
        request=request,
        profile=profile.name,
        decisions=decisions,
        capabilities=isolation.capabilities,
        launch=launch,
    )
    if resolution.refused or resolution.capabilities.problems:
        return msgspec.structs.replace(resolution, launch=None)
    return resolution


def _isolate(
    request: RunRequest, profile: Profile, environment: OuterEnvironment, root: RootFacts
) -> _Isolation:
    """Decide user namespace, identity, network and capabilities, which lean on each other."""
    user_namespace = decide_user_namespace(request, profile, environment)
    person, person_decisions = decide_identity(request, root, environment, user_namespace)
    no_new_privs, privs_decision = decide_no_new_privs(request, profile)
    network = decide_network(request, profile, environment, new_user_namespace=user_namespace.new)
    ask = CapabilityAsk(
        base=profile.capabilities,
        profile=profile.name,
        privileged=request.privileged,
        adds=request.cap_add,
        drops=request.cap_drop,
        ambient=request.ambient,
        uid=person.uid,
        new_user_namespace=user_namespace.new,
        no_new_privs=no_new_privs,
    )
    return _Isolation(
        user_namespace=user_namespace,
        person=person,
        network=network,
        capabilities=decide_capabilities(ask, environment),
        no_new_privs=no_new_privs,
        decisions=(
            *user_namespace.decisions,
            *person_decisions,
            privs_decision,
            *network.decisions,
        ),
    )


def _build_tree(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    root: RootFacts,
    isolation: _Isolation,
) -> _Tree:
    """Decide the root and all that is mounted on it, in the order in which it is mounted."""
    user_namespace = isolation.user_namespace
    devices = decide_devices(
        request,
        profile,
        environment,
        reachable=_reachable(isolation),
        new_user_namespace=user_namespace.new,
    )
    setting = Setting(
        new_user_namespace=user_namespace.new,
        network=isolation.network,
        dev_nodev=devices.nodev,
        tty_group=_has_tty_group(environment, user_namespace),
    )
    default = decide_mounts(request, profile, environment, setting)
    chosen_root = decide_root(
        request,
        profile,
        environment,
        root,
        Separation(
            new_user_namespace=user_namespace.new,
            own_ids=maps_own_ids(user_namespace, environment),
            own_pid=default.own_pid,
        ),
    )
    entered, entry_decisions = decide_entry(
        chosen_root.spec,
        environment,
        reachable=_reachable(isolation),
        new_user_namespace=user_namespace.new,
    )
    volumes, volume_decisions = decide_volumes(
        request,
        environment,
        new_user_namespace=user_namespace.new,
        nodev=chosen_root.spec.nodev,
        in_memory=user_namespace.new and not _root_is_us(environment, user_namespace),
    )
    taken = {volume.target for volume in volumes}
    kept = tuple(mount for mount in default.mounts if mount.target not in taken)
    return _Tree(
        root=msgspec.structs.replace(chosen_root, spec=entered),
        default=default,
        mounts=(*chosen_root.mounts, *kept, *volumes),
        devices=devices,
        decisions=(
            *chosen_root.decisions,
            *entry_decisions,
            *default.decisions,
            *devices.decisions,
            *volume_decisions,
        ),
    )


def _reachable(isolation: _Isolation) -> int:
    """Return the mask of the capabilities that any program of the container can come to hold.

    An exec of its root, or of a set-user-ID program, regains the bounding set, which is more than
    was granted where it could not be cut; no_new_privs keeps it at the permitted set.
    """
    sets = isolation.capabilities.sets
    return sets.permitted if isolation.no_new_privs else sets.bounding


def _root_is_us(environment: OuterEnvironment, user_namespace: UserNamespaceChoice) -> bool:
    identity = environment.identity
    return identity is not None and outside_id(user_namespace.uid_map, 0) == identity.uid


def _has_tty_group(environment: OuterEnvironment, user_namespace: UserNamespaceChoice) -> bool:
    if user_namespace.new:
        return is_mapped(_TTY_GROUP, user_namespace.gid_map)
    outer = environment.user_namespace
    return outer is None or outer.initial or is_mapped(_TTY_GROUP, outer.gid_map)


def _hostname_wish(request: RunRequest, hostname: str) -> Wish:
    if request.hostname is None:
        return by_nestbox("hostname", hostname)
    return by_flag("hostname", hostname, f"--hostname {hostname}")


def _process(
    request: RunRequest,
    isolation: _Isolation,
    rlimits: tuple[tuple[str, Limit], ...],
    hostname: str,
) -> ProcessSpec:
    person = isolation.person
    variables = environment_of(request, home=person.home, hostname=hostname)
    directory = clean(request.working_directory or "/", what="-w")
    return ProcessSpec(
        argv=request.argv,
        candidates=candidates(request.argv[0], directory, variables["PATH"]),
        environment=tuple(f"{name}={value}" for name, value in variables.items()),
        working_directory=directory,
        uid=person.uid,
        gid=person.gid,
        groups=person.groups,
        terminal=request.terminal,
        init=request.init,
        rlimits=rlimits,
        no_new_privs=isolation.no_new_privs,
    )
