"""The cgroups of a container as a transient unit of systemd."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError
from nestbox.runtime.cgroup.bus import BusError, Systemd, address_of

if TYPE_CHECKING:
    from nestbox.oci.resources import LinuxResources
    from nestbox.policy.config.cgroup_devices import Rule
    from nestbox.policy.config.cgroup_location import CgroupLocation
    from nestbox.policy.config.cgroup_properties import UnitStart
    from nestbox.policy.config.cgroup_variant import Property
    from nestbox.runtime.cgroup.files import Located

_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"


def connect(*, rootless: bool, environment: Mapping[str, str] = os.environ) -> Systemd:
    """Return a connection to the systemd that serves this container. Raises LaunchError."""
    return Systemd(address_of(rootless=rootless, environment=environment))


def manager_cgroup(*, rootless: bool, environment: Mapping[str, str] = os.environ) -> str:
    """Return the cgroup of systemd, below which its slices are: "" for that of the machine.

    Raises:
        LaunchError: it cannot be reached, or does not run.
    """
    with connect(rootless=rootless, environment=environment) as systemd:
        if not rootless:
            return ""
        try:
            return systemd.manager_property("ControlGroup")
        except BusError as error:
            raise _refused("cannot ask the user's systemd for its cgroup", error) from error


def start(
    location: CgroupLocation, unit: UnitStart, *, environment: Mapping[str, str] = os.environ
) -> None:
    """Start the container's unit with a process in it; its cgroup exists then.

    A unit of that name that failed before is cleared away once.

    Raises:
        LaunchError: systemd refuses, or does not run.
    """
    from nestbox.policy.config.cgroup_properties import start_properties

    with connect(rootless=location.rootless, environment=environment) as systemd:
        properties = start_properties(location, unit, systemd=systemd.version)
        try:
            result = _start(systemd, location.unit, properties)
        except BusError as error:
            raise _refused(f"unable to start unit {location.unit!r}", error) from error
        if result != "done":
            _reset_failed(systemd, location.unit)
            raise LaunchError(
                f"error creating systemd unit `{location.unit}`: got `{result}`",
                cause="systemd could not start it",
                remedy=f"see: journalctl -u {location.unit}",
            )


def _start(systemd: Systemd, unit: str | None, properties: Sequence[Property]) -> str:
    member, signature = "StartTransientUnit", "ssa(sv)a(sa(sv))"
    try:
        return systemd.job(member, signature, unit, "replace", list(properties), [])
    except BusError as error:
        if error.name != _EXISTS:
            raise
    _reset_failed(systemd, unit)
    return systemd.job(member, signature, unit, "replace", list(properties), [])


def set_properties(
    location: CgroupLocation,
    resources: LinuxResources,
    rules: Sequence[Rule] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Tell systemd the limits of the container, and with ``rules`` its devices.

    Raises:
        ConfigError: a limit cannot be expressed.
        LaunchError: systemd refuses, or does not run.
    """
    from nestbox.policy.config.cgroup_properties import device_properties, resource_properties

    with connect(rootless=location.rootless, environment=environment) as systemd:
        version = systemd.version
        properties = list(resource_properties(resources, location, systemd=version))
        if rules is not None:
            properties = [*device_properties(rules, systemd=version), *properties]
        try:
            systemd.call("SetUnitProperties", "sba(sv)", location.unit, True, properties)
        except BusError as error:
            raise _refused(f"unable to set unit properties of {location.unit!r}", error) from error


def stop(location: Located, *, environment: Mapping[str, str] = os.environ) -> None:
    """Stop the container's unit; one that is gone is no failure. Raises LaunchError."""
    with connect(rootless=location.rootless, environment=environment) as systemd:
        try:
            # A job that fails leaves a failed unit, which is cleared away like any other.
            systemd.job("StopUnit", "ss", location.unit, "replace")
        except BusError as error:
            if error.name != _NO_SUCH_UNIT:
                raise _refused(f"cannot stop unit {location.unit!r}", error) from error
        _reset_failed(systemd, location.unit)


def _reset_failed(systemd: Systemd, unit: str | None) -> None:
    try:
        systemd.call("ResetFailedUnit", "s", unit)
    except BusError:
        return  # it has not failed, or is gone


def _refused(what: str, error: BusError) -> LaunchError:
    return LaunchError(
        what,
        cause=f"{error.words} ({error.name})",
        remedy="see the journal of systemd, or use --cgroup-manager cgroupfs",
    )
