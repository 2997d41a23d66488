"""The plan of an accepted container, with its seccomp filter compiled."""

from __future__ import annotations

import os

from nestbox.plan.steps import LoadSeccomp
from nestbox.runtime.context import default_storage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.oci.seccomp import LinuxSeccomp
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.plan.steps import LaunchPlan
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.runtime.oci.accept import Accepted


def compile_launch(accepted: Accepted, location: CgroupLocation) -> LaunchPlan:
    """Return the steps of a launch that ends in waiting for start. Raises ProfileError."""
    from nestbox.plan.compile import compile_plan

    return compile_plan(
        accepted.launch,
        seccomp=load_filter(accepted.launch.seccomp, accepted.launch.seccomp_shim),
        last_capability=last_capability(accepted.environment),
        foreground=False,
        # Where it cannot be born in its cgroup it is moved there before it makes anything.
        wait_for_cgroup=location.version == 1
        or location.unit is not None
        or accepted.bundle.config.linux.intel_rdt is not None,
    )


def load_filter(seccomp: LinuxSeccomp | None, shim: tuple[str, ...]) -> LoadSeccomp | None:
    """Return the step that loads a filter; the compiled program is kept for the next container."""
    if seccomp is None and not shim:
        return None
    from nestbox.runtime.seccomp_step import filter_step

    storage = default_storage(dict(os.environ), os.geteuid())
    return filter_step(seccomp, shim=shim, cache_directory=os.path.join(storage, "seccomp"))


def last_capability(environment: OuterEnvironment) -> int:
    """Return the highest capability of this kernel."""
    assert environment.capabilities is not None
    return environment.capabilities.last
