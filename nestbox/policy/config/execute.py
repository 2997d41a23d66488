"""A further program in a running container: its rights, ids, limits and labels. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.oci.config import Config
from nestbox.oci.process import ConfigCapabilities
from nestbox.oci.validate import find_process_problems, refuse
from nestbox.outer.facts import IdMap, RootFacts
from nestbox.policy.capability_config import ConfigAsk, decide_config_capabilities
from nestbox.policy.config.case import Case, is_strict
from nestbox.policy.config.identity import Ids, outer_ids
from nestbox.policy.config.labels import writes_through_own_proc
from nestbox.policy.config.process import ProgramSetting, decide_process
from nestbox.policy.config.resolution import ExecResolution, is_refused, warning_lines
from nestbox.policy.config.scheduling import memory_policy_of, numbers_of, personality_of
from nestbox.policy.kernel_calls import decide_calls
from nestbox.policy.outer_filter import decide_shim, decide_start

if TYPE_CHECKING:
    from nestbox.oci.process import CPUAffinity, Process
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.config.options import LaunchOptions
    from nestbox.policy.decision import Decision
    from nestbox.policy.launch_spec import ProcessSpec


class ContainerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The container that a program is to run in; the maps are those of its first process."""

    config: Config
    root: RootFacts  # observed through /proc/PID/root
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    setgroups_denied: bool = False


def resolve_exec(
    process: Process,
    container: ContainerFacts,
    options: LaunchOptions,
    environment: OuterEnvironment,
) -> ExecResolution:
    """Return what becomes of the program.

    Raises:
        ConfigError: the process contradicts itself or the specification.
        UsageError: it contradicts what was observed.
        AssertionError: a fact that is needed was not observed, which is the caller's mistake.
    """
    refuse(find_process_problems(process), source="process")
    config = container.config
    case = Case(config=config, options=options, environment=environment, root=container.root)
    new_keyring, call_decisions = decide_calls(environment)
    plain_clone, start_decisions = decide_start(environment)
    shim, shim_decisions = decide_shim(config.linux.seccomp, environment)
    spec, process_decisions = _decide_program(process, container, case)
    ask = ConfigAsk(
        lists=process.capabilities or ConfigCapabilities(),
        strict=is_strict(config.annotations),
        uid=process.user.uid,
        new_user_namespace=case.has("user"),
        no_new_privs=process.no_new_privileges,
    )
    capabilities = decide_config_capabilities(ask, environment)
    keyring = new_keyring and not options.no_new_keyring
    decisions = (
        *(one for one in call_decisions if one.subject != "keyring" or not options.no_new_keyring),
        *start_decisions,
        *process_decisions,
        *shim_decisions,
    )
    affinity = process.exec_cpu_affinity
    return ExecResolution(
        process=None if is_refused(capabilities, decisions) else spec,
        capabilities=capabilities,
        decisions=decisions,
        warnings=warning_lines(capabilities, decisions),
        seccomp=config.linux.seccomp,
        seccomp_shim=shim,
        plain_clone=plain_clone,
        own_proc=bool(spec.apparmor or spec.selinux)
        and writes_through_own_proc(
            environment, new_user_namespace=case.has("user"), own_pids=case.has("pid")
        ),
        new_keyring=keyring,
        initial_affinity=numbers_of(affinity.initial) if affinity else (),
    )


def _decide_program(
    process: Process, container: ContainerFacts, case: Case
) -> tuple[ProcessSpec, tuple[Decision, ...]]:
    ids = outer_ids(case.environment)
    if case.has("user"):
        ids = Ids(
            own_namespace=True,
            uid_map=container.uid_map or None,
            gid_map=container.gid_map or None,
            setgroups=not container.setgroups_denied,
        )
    setting = ProgramSetting(
        options=case.options,
        environment=case.environment,
        ids=ids,
        passwd=container.root.passwd,
    )
    spec, decisions = decide_process(process, setting, case.wish)
    linux = case.config.linux
    spec = msgspec.structs.replace(
        spec,
        affinity=_affinity(process.exec_cpu_affinity),
        memory_policy=memory_policy_of(linux.memory_policy),
        personality=personality_of(linux.personality),
    )
    return spec, decisions


def _affinity(asked: CPUAffinity | None) -> tuple[int, ...] | None:
    """Return the processors of the program: those asked for, else all that its cgroup has.

    Those that it is to begin with stay where no others are to follow.
    """
    if asked is None:
        return ()
    return numbers_of(asked.final) or (None if asked.initial else ())
