"""What `exec` will do: the process that is asked for, decided and compiled."""

from __future__ import annotations

import os

import msgspec

from nestbox.executor.encode import PRESERVED_FD
from nestbox.kernel.procfs import parse_id_map
from nestbox.kernel.reading import read_file
from nestbox.oci.config import Config
from nestbox.oci.process import Process
from nestbox.outer.facts import IdMap, OuterEnvironment, Subject
from nestbox.outer.probe import extend
from nestbox.outer.root import observe_root
from nestbox.plan.compile_exec import compile_exec
from nestbox.plan.steps import LaunchPlan
from nestbox.policy.config.execute import ContainerFacts, resolve_exec
from nestbox.policy.config.options import LaunchOptions
from nestbox.policy.config.process import program_candidates
from nestbox.policy.config.resolution import ExecResolution
from nestbox.policy.config.subjects import required_subjects_exec
from nestbox.policy.launch_spec import ExecSpec
from nestbox.policy.resolution import refusal
from nestbox.runtime.context import default_storage
from nestbox.runtime.oci.compiled import last_capability, load_filter
from nestbox.runtime.oci.container import Container
from nestbox.runtime.oci.joining import HeldNamespaces
from nestbox.runtime.oci.requests import Log
from nestbox.runtime.processes import Process as Task

# The order of namespaces.TABLE is that of the files below /proc/PID/ns.
_KERNEL_NAMES = {"network": "net", "mount": "mnt"}


class ExecCase(msgspec.Struct, frozen=True, kw_only=True):
    """One process for a container: ``first`` is the one that it is to join."""

    container: Container
    config: Config
    process: Process
    first: Task
    preserve_fds: int

    def has(self, kind: str) -> bool:
        """Return whether the container has a namespace of this kind that is not the runtime's."""
        return any(one.type == kind for one in self.config.linux.namespaces)


class ExecPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done. The caller closes the namespaces once they are joined."""

    plan: LaunchPlan
    resolution: ExecResolution
    namespaces: HeldNamespaces


def plan_exec(case: ExecCase, *, wait_for_cgroup: bool, log: Log) -> ExecPlan:
    """Decide what the process gets, and compile its plan.

    ``wait_for_cgroup`` is whether the runtime moves it into the container's cgroup.

    Raises:
        Refused: the container is strict, and something is not to be had.
        NestboxError: the process contradicts the specification or the facts.
    """
    environment = _observe(case)
    resolution = _decide(case, environment)
    refused = refusal(resolution)
    if refused is not None:
        raise refused
    for warning in resolution.warnings:
        log.warning(warning)
    assert resolution.process is not None
    kinds = (one.type for one in case.config.linux.namespaces)
    maps = _map(case, "uid_map"), _map(case, "gid_map")
    namespaces = HeldNamespaces(case.first, tuple(_KERNEL_NAMES.get(kind, kind) for kind in kinds))
    spec = ExecSpec(
        process=resolution.process,
        capabilities=resolution.capabilities.sets,
        drop_bounding=resolution.capabilities.drop_bounding,
        joined=namespaces.joined(PRESERVED_FD + case.preserve_fds),
        # Without a mount namespace none leads to the root.
        root="" if case.has("mount") else case.container.state.rootfs,
        uid_map=maps[0],
        gid_map=maps[1],
        new_keyring=resolution.new_keyring,
        own_proc=resolution.own_proc,
        plain_clone=resolution.plain_clone,
    )
    plan = compile_exec(
        spec,
        seccomp=load_filter(resolution.seccomp, resolution.seccomp_shim),
        last_capability=last_capability(environment),
        foreground=False,
        wait_for_cgroup=wait_for_cgroup or bool(resolution.initial_affinity),
    )
    return ExecPlan(plan=plan, resolution=resolution, namespaces=namespaces)


def _observe(case: ExecCase) -> OuterEnvironment:
    storage = default_storage(dict(os.environ), os.geteuid())
    known = OuterEnvironment()
    while True:
        needed = required_subjects_exec(case.config, case.process, known)
        needed |= {Subject.CAPABILITIES}
        if all(getattr(known, subject.value) is not None for subject in needed):
            return known
        known = extend(known, needed, state_directory=storage)


def _decide(case: ExecCase, environment: OuterEnvironment) -> ExecResolution:
    options = LaunchOptions(
        bundle=case.container.state.bundle,
        container_id=case.container.id,
        preserve_fds=case.preserve_fds,
    )
    root = f"/proc/{case.first.pid}/root"
    candidates = program_candidates(case.process, options)
    facts = ContainerFacts(
        config=case.config,
        root=observe_root(root, candidates, looks_up_names=False),
        uid_map=_map(case, "uid_map"),
        gid_map=_map(case, "gid_map"),
        setgroups_denied=_denies_setgroups(case),
    )
    return resolve_exec(case.process, facts, options, environment)


def _map(case: ExecCase, name: str) -> tuple[IdMap, ...]:
    if not case.has("user"):
        return ()
    rows = parse_id_map(read_file(f"/proc/{case.first.pid}/{name}"))
    return tuple(IdMap(inside=row.inside, outside=row.outside, count=row.count) for row in rows)


def _denies_setgroups(case: ExecCase) -> bool:
    if not case.has("user"):
        return False
    return read_file(f"/proc/{case.first.pid}/setgroups").strip() == b"deny"
