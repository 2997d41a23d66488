"""Checks of ``linux.sysctl``: no sysctl of a container changes another one or the machine.

Source: runtime-spec 1.3, config-linux.md, "Sysctl".
"""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.oci.case import Case
from nestbox.oci.problem import Problem
from nestbox.oci.sysctls import HOSTNAME, namespace_of, path_of


def check_sysctls(case: Case) -> Iterator[Problem]:
    """Yield sysctls that would change more than the container."""
    for name, value in case.config.linux.sysctl.items():
        place = f"$.linux.sysctl.{name}"
        path = path_of(name)
        if path is None:
            yield Problem(place=place, cause="is no name of a sysctl")
            continue
        if "\n" in value:
            yield Problem(place=place, cause="its value is more than one line")
        cause = _objection(case, path)
        if cause:
            yield Problem(place=place, cause=cause, remedy="leave it out, or set it outside")


def _objection(case: Case, path: str) -> str:
    """Return why a sysctl must not be set for this container, or ""."""
    kind = namespace_of(path)
    if not kind:
        return "is not in a separate kernel namespace, so it would change the whole machine"
    if path == HOSTNAME:
        return "conflicts with `hostname`, which is there for it"
    if not case.has(kind) or (kind == "network" and case.joins_own_network):
        return f"is not allowed in the runtime's own {kind} namespace"
    return ""
