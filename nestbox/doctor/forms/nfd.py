"""A report as a local feature file of node-feature-discovery: labels for a scheduler. Pure.

Source: node-feature-discovery, "Local feature source"; Kubernetes, "Labels and Selectors".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nestbox.doctor.report import Group

if TYPE_CHECKING:
    from nestbox.doctor.overview import Overview
    from nestbox.doctor.report import Report
    from nestbox.outer.facts import OuterEnvironment

_LONGEST: Final = 63  # characters, of a label's name and of its value
_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def render_nfd(overview: Overview, environment: OuterEnvironment) -> str:
    """Return the lines ``name=value``, sorted, with a closing newline.

    ``nestbox-cap.SYS_ADMIN=true`` for each capability that a privileged container gets here over
    the present user namespace, ``nestbox-profile.default=ok``, the mode of cgroups, what a
    container can be made from, and the fingerprint.
    """
    labels = {"version": overview.report.nestbox, **_profiles(overview.report)}
    if overview.report.fingerprint:
        labels["fingerprint"] = overview.report.fingerprint
    if overview.outlooks is not None:
        for outlook in overview.outlooks.capabilities:
            if outlook.outer.permitted and outlook.outer.bounding:
                labels[f"cap.{outlook.name.removeprefix('CAP_')}"] = "true"
    labels |= _facts(environment)
    rows = (f"nestbox-{_label(name)}={_label(value)}" for name, value in labels.items())
    return "\n".join(sorted(rows)) + "\n"


def _profiles(report: Report) -> dict[str, str]:
    checks = (check for check in report.checks if check.group is Group.PROFILES)
    return {f"profile.{check.subject}": check.verdict.value for check in checks}


def _facts(environment: OuterEnvironment) -> dict[str, str]:
    """Return what a workload may ask of a node besides capabilities."""
    labels = {}
    if environment.cgroup is not None:
        labels["cgroup"] = environment.cgroup.mode.value
        for hierarchy in environment.cgroup.hierarchies:
            if hierarchy.writable:
                named = (name for name in hierarchy.controllers if "=" not in name)
                labels |= {f"controller.{name}": f"v{hierarchy.version}" for name in named}
    if environment.namespaces is not None:
        works = environment.namespaces.create.get("user")
        labels["userns"] = str(works is not None and works.works).lower()
    if environment.devices is not None:
        for path, node in environment.devices.nodes.items():
            if path in _DEVICES and node.opens.works:
                labels[f"device.{path.removeprefix('/dev/').replace('/', '-')}"] = "true"
    for module in environment.lsm.active if environment.lsm else ():
        labels[f"lsm.{module}"] = "true"
    return labels


_DEVICES: Final = frozenset({"/dev/fuse", "/dev/kvm", "/dev/net/tun"})


def _label(text: str) -> str:
    """Return the text as a part of a label: letters at both ends, nothing unusual between."""
    return _NOT_ALLOWED.sub("-", text)[: _LONGEST - len("nestbox-")].strip("-_.")
