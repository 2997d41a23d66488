"""Which facts a configuration needs: an engine waits for each of them on every launch. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.facts import OuterEnvironment, Subject
from nestbox.policy.config.labels import has_labels
from nestbox.policy.config.limits import wants_many_files
from nestbox.policy.config.namespaces import MAPPING_RIGHTS
from nestbox.policy.config.places import is_bind
from nestbox.policy.subjects import holds, lacks_pivot, may_be_filtered

if TYPE_CHECKING:
    from nestbox.oci.config import Config
    from nestbox.oci.process import Process

_ALWAYS: Final = frozenset(
    {Subject.KERNEL, Subject.CAPABILITIES, Subject.IDENTITY, Subject.USER_NAMESPACE}
)
_NOTHING: Final = OuterEnvironment()


def required_subjects_config(
    config: Config, environment: OuterEnvironment = _NOTHING
) -> frozenset[Subject]:
    """Return the facts that are needed, as far as those known already can tell.

    The caller observes what is missing and asks again until nothing is.
    """
    kinds = {mount.type for mount in config.mounts if not is_bind(mount)}
    needed = set(required_subjects_process(config.process, environment))
    if "cgroup" in kinds or config.namespace("pid") is None:
        needed.add(Subject.CGROUP)
    if config.linux.sysctl or config.linux.mount_label:
        needed.add(Subject.LSM)
    if _is_foreign(config, environment) and (kinds & {"proc", "sysfs"} or Subject.LSM in needed):
        needed.add(Subject.MOUNTS)
        if config.namespace("user") is None:
            needed.add(Subject.NAMESPACES)  # what can be mounted in our own was tried
    if lacks_pivot(environment):
        needed.add(Subject.MOUNTS)
    known = environment.capabilities is not None
    if config.linux.uid_mappings and known and not holds(environment, *MAPPING_RIGHTS):
        needed.add(Subject.TOOLS)
    return frozenset(needed)


def required_subjects_exec(
    config: Config, process: Process, environment: OuterEnvironment = _NOTHING
) -> frozenset[Subject]:
    """Return the facts that another program in a container of this configuration needs."""
    needed = set(required_subjects_process(process, environment))
    if Subject.LSM in needed and _is_foreign(config, environment):
        needed.add(Subject.MOUNTS)
    return frozenset(needed)


def required_subjects_process(
    process: Process, environment: OuterEnvironment = _NOTHING
) -> frozenset[Subject]:
    """Return the facts that a program needs, of a container or of an exec in one."""
    needed = set(_ALWAYS)
    if process.rlimits or process.oom_score_adj is not None:
        needed.add(Subject.LIMITS)
    if wants_many_files(process):
        needed.add(Subject.SYSCTLS)
    if has_labels(process):
        needed.add(Subject.LSM)
    if may_be_filtered(environment):
        needed.add(Subject.SECCOMP)
    return frozenset(needed)


def _is_foreign(config: Config, environment: OuterEnvironment) -> bool:
    if config.namespace("user") is not None:
        return True
    return environment.user_namespace is not None and not environment.user_namespace.initial
