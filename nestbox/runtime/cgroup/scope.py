"""The cgroup of a container of ``nestbox run`` as a scope of the user's systemd."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from nestbox.oci.resources import LinuxResources
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.policy.config.cgroup_location import SYSTEMD, CgroupLocation
from nestbox.policy.config.cgroup_properties import UnitStart
from nestbox.runtime.cgroup import systemd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestbox.policy.config.cgroup_variant import Property
    from nestbox.policy.launch_spec import CgroupSpec

# It goes when its last process ends, were that by the kernel for want of memory.
_COLLECTED: Final[Property] = ("CollectMode", ("s", "inactive-or-failed"))


def start_scope(
    spec: CgroupSpec, directory: str, container: str, pid: int, environment: Mapping[str, str]
) -> None:
    """Let systemd make the cgroup with a process in it, and know of the limits to be written.

    Raises:
        LaunchError: systemd refuses, or does not run.
    """
    location = CgroupLocation(
        version=2,
        manager=SYSTEMD,
        directories={UNIFIED: directory},
        unit=os.path.basename(directory),
        slice=os.path.basename(spec.parent),
        rootless=True,
    )
    unit = UnitStart(container=container, pid=pid, annotated=(_COLLECTED,))
    systemd.start(location, unit, environment=environment)
    limits = LinuxResources(unified=dict((*spec.settings, *spec.optional)))
    systemd.set_properties(location, limits, environment=environment)
