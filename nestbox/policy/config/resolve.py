"""From a config.json and facts to decisions and a launch: every choice is made here. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.oci.process import ConfigCapabilities
from nestbox.oci.sysctls import path_of
from nestbox.oci.validate import find_problems, find_warnings, refuse
from nestbox.policy.capability_config import ConfigAsk, decide_config_capabilities
from nestbox.policy.config.case import Case, is_strict
from nestbox.policy.config.devices import decide_devices
from nestbox.policy.config.hooks import hook_specs
from nestbox.policy.config.identity import Ids, outer_ids
from nestbox.policy.config.labels import writes_through_own_proc
from nestbox.policy.config.mounts import decide_mounts
from nestbox.policy.config.namespaces import decide_namespaces, time_offsets
from nestbox.policy.config.process import ProgramSetting, decide_process
from nestbox.policy.config.resolution import ConfigResolution, is_refused, warning_lines
from nestbox.policy.config.scheduling import memory_policy_of, personality_of
from nestbox.policy.config.tree import decide_root
from nestbox.policy.kernel_calls import decide_calls, decide_old_mounts, has_old_mounts
from nestbox.policy.launch_spec import LaunchSpec
from nestbox.policy.naming import decide_hostname
from nestbox.policy.outer_filter import decide_shim, decide_start

if TYPE_CHECKING:
    from nestbox.oci.config import Config
    from nestbox.outer.bundle_facts import BundleFacts
    from nestbox.outer.facts import OuterEnvironment, RootFacts
    from nestbox.policy.capabilities import CapabilityResolution
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.config.namespaces import NamespaceChoice
    from nestbox.policy.config.options import LaunchOptions
    from nestbox.policy.decision import Decision
    from nestbox.policy.launch_spec import ProcessSpec


def resolve_config(  # noqa: PLR0913 - one configuration, and five values of facts about it
    config: Config,
    options: LaunchOptions,
    environment: OuterEnvironment,
    root: RootFacts,
    *,
    bundle: BundleFacts,
    cgroups: CgroupLocation | None = None,
) -> ConfigResolution:
    """Return what becomes of the configuration; ``refusal`` of the result tells whether it may go.

    ``environment`` has at least the ``required_subjects_config``, and ``bundle`` what
    ``bundle_asks`` named.

    Raises:
        ConfigError: the configuration contradicts itself or the specification.
        UsageError: it contradicts what was observed.
        AssertionError: a fact that is needed was not observed, which is the caller's mistake.
    """
    case = Case(
        config=config,
        options=options,
        environment=environment,
        root=root,
        bundle=bundle,
        cgroups=cgroups,
    )
    refuse(find_problems(config, joins_own_network=_joins_own_network(case)), source="config.json")
    calls, call_decisions = decide_calls(environment)
    plain_clone, start_decisions = decide_start(environment)
    shim, shim_decisions = decide_shim(config.linux.seccomp, environment)
    namespaces = decide_namespaces(case)
    process, process_decisions = _decide_program(case, namespaces)
    capabilities = _decide_capabilities(case)
    launch, tree_decisions = _build(case, namespaces, process, capabilities)
    launch = msgspec.structs.replace(
        launch,
        new_keyring=calls and not options.no_new_keyring,
        plain_clone=plain_clone,
        old_mounts=has_old_mounts(environment),
        seccomp_shim=shim,
    )
    decisions = (
        *(call_decisions if not options.no_new_keyring else _without_keyring(call_decisions)),
        *start_decisions,
        *decide_old_mounts(environment, launch.root.entry),
        *namespaces.decisions,
        *process_decisions,
        *shim_decisions,
        *tree_decisions,
    )
    return ConfigResolution(
        launch=None if is_refused(capabilities, decisions) else launch,
        capabilities=capabilities,
        decisions=decisions,
        warnings=(
            *(str(one) for one in find_warnings(config)),
            *warning_lines(capabilities, decisions),
        ),
    )


def _joins_own_network(case: Case) -> bool:
    facts = case.bundle.namespaces.get(case.config.namespace("network") or "")
    return facts is not None and facts.own


def _without_keyring(decisions: tuple[Decision, ...]) -> tuple[Decision, ...]:
    return tuple(one for one in decisions if one.subject != "keyring")


def _decide_program(
    case: Case, namespaces: NamespaceChoice
) -> tuple[ProcessSpec, tuple[Decision, ...]]:
    passwd = case.root.passwd if case.bundle.passwd is None else case.bundle.passwd
    setting = ProgramSetting(
        options=case.options,
        environment=case.environment,
        ids=_ids(case, namespaces),
        passwd=passwd,
    )
    process, decisions = decide_process(case.config.process, setting, case.wish)
    linux = case.config.linux
    process = msgspec.structs.replace(
        process,
        memory_policy=memory_policy_of(linux.memory_policy),
        personality=personality_of(linux.personality),
    )
    return process, decisions


def _ids(case: Case, namespaces: NamespaceChoice) -> Ids:
    if case.creates("user"):
        return Ids(
            own_namespace=True,
            uid_map=namespaces.uid_map,
            gid_map=namespaces.gid_map,
            setgroups=namespaces.setgroups,
        )
    if not case.joins("user"):
        return outer_ids(case.environment)
    facts = case.bundle.namespaces.get(case.config.namespace("user") or "")
    if facts is None:
        return Ids(own_namespace=True)
    return Ids(
        own_namespace=True,
        uid_map=facts.uid_map,
        gid_map=facts.gid_map,
        setgroups=not facts.setgroups_denied,
    )


def _decide_capabilities(case: Case) -> CapabilityResolution:
    process = case.config.process
    ask = ConfigAsk(
        lists=process.capabilities or ConfigCapabilities(),
        strict=is_strict(case.config.annotations),
        uid=process.user.uid,
        new_user_namespace=case.has("user"),
        no_new_privs=process.no_new_privileges,
    )
    return decide_config_capabilities(ask, case.environment)


def _build(
    case: Case,
    namespaces: NamespaceChoice,
    process: ProcessSpec,
    capabilities: CapabilityResolution,
) -> tuple[LaunchSpec, tuple[Decision, ...]]:
    """Return the launch, all choices put together, and the decisions about the file tree."""
    config, linux = case.config, case.config.linux
    mounts = decide_mounts(case)
    devices = decide_devices(case)
    hostname, name_decisions = _hostname(case)
    writes = bool(process.apparmor or process.selinux or linux.sysctl)
    launch = LaunchSpec(
        process=process,
        capabilities=capabilities.sets,
        drop_bounding=capabilities.drop_bounding,
        namespaces=namespaces.new,
        joined=namespaces.joined,
        uid_map=namespaces.uid_map,
        gid_map=namespaces.gid_map,
        map_with_tools=namespaces.with_tools,
        root=decide_root(case),
        mounts=mounts.mounts,
        final_mounts=mounts.final,
        devices=devices.devices,
        device_links=devices.links,
        masked_paths=linux.masked_paths,
        readonly_paths=linux.readonly_paths,
        sysctls=_sysctls(config),
        hostname=hostname,
        domainname=config.domainname or None,
        loopback=case.creates("network"),
        time_offsets=time_offsets(case),
        create_hooks=hook_specs(config.hooks.create_container),
        start_hooks=hook_specs(config.hooks.start_container, process.environment),
        runtime_hooks=bool(config.hooks.prestart or config.hooks.create_runtime),
        network_devices=bool(linux.net_devices),
        own_proc=writes
        and writes_through_own_proc(
            case.environment, new_user_namespace=case.has("user"), own_pids=case.has("pid")
        ),
        wait_for_start=case.options.wait_for_start,
        seccomp=linux.seccomp,
    )
    return launch, (*mounts.decisions, *devices.decisions, *name_decisions)


def _hostname(case: Case) -> tuple[str | None, tuple[Decision, ...]]:
    name = case.config.hostname
    if not name or not case.has("uts"):
        return name or None, ()
    return decide_hostname(case.wish("hostname", name, "hostname"), case.environment)


def _sysctls(config: Config) -> tuple[tuple[str, str], ...]:
    """Return what to write, as path below /proc/sys and value; the names were checked."""
    pairs = ((path_of(name), value) for name, value in config.linux.sysctl.items())
    return tuple((path, value) for path, value in pairs if path is not None)
