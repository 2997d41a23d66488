"""A container's cgroups from nothing to its first process in them, with either manager.

With cgroupfs they are made before the process, which can be born in them. Systemd makes none
without a process, so that with it everything happens when there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.oci.resources import LinuxResources
from nestbox.policy.config.cgroup_devices import device_rules
from nestbox.policy.config.cgroup_owner import cgroup_owner
from nestbox.policy.config.cgroup_settings import settings
from nestbox.runtime.cgroup import apply, tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestbox.oci.config import Config
    from nestbox.policy.config.cgroup_devices import Rule
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.config.cgroup_setting import Setting
    from nestbox.policy.config.cgroup_variant import Property


class CgroupSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a container's cgroups are to be."""

    container: str
    location: CgroupLocation
    settings: tuple[Setting, ...] = ()
    rules: tuple[Rule, ...] = ()  # of devices
    owner: int | None = None  # as cgroup_owner has it
    resources: LinuxResources = LinuxResources()  # for systemd, beside the settings
    annotated: tuple[Property, ...] = ()  # for systemd
    user_namespace: bool = False  # whether we are in one: then devices are not ours to restrict


class CgroupState(msgspec.Struct, frozen=True, kw_only=True):
    """What they came to be; ``losses`` are sentences about what is not enforced."""

    setup: CgroupSetup
    location: CgroupLocation
    losses: tuple[str, ...] = ()


def setup_of(
    config: Config, location: CgroupLocation, container: str, *, user_namespace: bool
) -> CgroupSetup:
    """Return what the configuration of a container asks for.

    ``user_namespace`` is whether we ourselves are in one that is not the first.

    Raises:
        ConfigError: a limit, a device rule or an annotation is malformed.
    """
    resources = config.linux.resources or LinuxResources()
    annotated: tuple[Property, ...] = ()
    if location.unit is not None and config.annotations:
        from nestbox.policy.config.cgroup_variant import annotated_properties

        annotated = annotated_properties(config.annotations)
    return CgroupSetup(
        container=container,
        location=location,
        settings=settings(resources, location),
        rules=device_rules(resources.devices, (one.path for one in config.linux.devices)),
        owner=cgroup_owner(config, location),
        resources=resources,
        annotated=annotated,
        user_namespace=user_namespace,
    )


def make(setup: CgroupSetup) -> CgroupState:
    """Make the cgroups, as far as that is possible without a process.

    Raises:
        ConfigError: a rule or limit cannot be expressed.
        LaunchError: the kernel refuses.
    """
    if setup.location.unit is not None:
        return CgroupState(setup=setup, location=setup.location)
    return _limit(setup, apply.make(setup.location, setup.settings))


def enter(state: CgroupState, pid: int, born_in: frozenset[str] = frozenset()) -> CgroupState:
    """Move the container's first process in, and with systemd make and limit the cgroups then.

    With cgroupfs a process may be born in its cgroups instead (``open_directory``), or in those of
    version 1 with the keys ``born_in`` (``open_tasks``).

    Raises:
        ConfigError: a rule or limit cannot be expressed.
        LaunchError: the kernel or systemd refuses.
    """
    setup = state.setup
    if setup.location.unit is None:
        tree.enter(state.location, pid, born_in)
        return state
    from nestbox.policy.config.cgroup_properties import UnitStart
    from nestbox.runtime.cgroup import systemd

    start = UnitStart(
        container=setup.container,
        pid=pid,
        annotated=setup.annotated,
        unified=setup.resources.unified,
    )
    systemd.start(setup.location, start)
    systemd.set_properties(setup.location, setup.resources, setup.rules)
    location = apply.make(setup.location, setup.settings)
    tree.enter(location, pid)  # systemd knows not every controller
    return _limit(setup, location)


def _limit(setup: CgroupSetup, location: CgroupLocation) -> CgroupState:
    losses: list[str] = []
    if setup.rules and location.version:
        loss = _restrict_devices(location, setup.rules, user_namespace=setup.user_namespace)
        # Those that every container gets cost a rootless one nothing; the record has them.
        implied = location.rootless and not setup.resources.devices
        losses += [loss] if loss and not implied else []
    if setup.owner is not None:
        from nestbox.runtime.cgroup.ownership import give_to

        give_to(location, setup.owner)
    return CgroupState(setup=setup, location=location, losses=tuple(losses))


def _restrict_devices(
    location: CgroupLocation, rules: Sequence[Rule], *, user_namespace: bool
) -> str | None:
    from nestbox.runtime.cgroup.devices import apply_devices

    return apply_devices(location, rules, user_namespace=user_namespace)
