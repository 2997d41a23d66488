"""The user's own systemd: whether it can be asked for a cgroup, and what it was given itself.

Source: systemd, CGROUP_DELEGATION; user@.service(5); D-Bus specification, "Well-known Message
Bus Instances".
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from nestbox.outer.facts import CgroupManager
from nestbox.outer.sources import read_optional


def observe_manager(
    mountpoint: str, environment: Mapping[str, str], *, uid: int
) -> CgroupManager | None:
    """Return the systemd of a user; None where it cannot be asked."""
    if not _has_bus(environment):
        return None
    directory = f"{mountpoint}/user.slice/user-{uid}.slice/user@{uid}.service"
    controllers = read_optional(f"{directory}/cgroup.controllers")
    if controllers is None or not _shares_pids(f"{directory}/init.scope"):
        return None
    return CgroupManager(directory=directory, controllers=tuple(controllers.split()))


def _has_bus(environment: Mapping[str, str]) -> bool:
    if environment.get("DBUS_SESSION_BUS_ADDRESS"):
        return True
    runtime = environment.get("XDG_RUNTIME_DIR")
    return bool(runtime) and os.path.exists(f"{runtime}/bus")


def _shares_pids(scope: str) -> bool:
    """Return whether the systemd in this cgroup is in our pid namespace: it is told pids by us."""
    pids = (read_optional(f"{scope}/cgroup.procs") or "").split()
    status = read_optional(f"/proc/{pids[0]}/status") if pids else None
    for line in (status or "").splitlines():
        if line.startswith("NSpid:"):
            return len(line.split()) == 2  # it has no number in a namespace below ours
    return False
