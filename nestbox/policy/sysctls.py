"""Sysctls of the container: only those that belong to a namespace of its own. Pure.

Source: namespaces(7) and the kernel's registration of each table; CVE-2022-0811 is what an
unchecked name or value led to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.oci.sysctls import DOMAINNAME, HOSTNAME, namespace_of, path_of
from nestbox.policy.wish import by_flag

if TYPE_CHECKING:
    from nestbox.policy.decision import Decision
    from nestbox.policy.request import RunRequest

_UTS: Final = {
    HOSTNAME: "use --hostname",
    DOMAINNAME: "leave it out: nestbox sets no domain name",
}


def decide_sysctls(
    request: RunRequest, *, own_network: bool
) -> tuple[tuple[tuple[str, str], ...], tuple[Decision, ...]]:
    """Return what to write, as (path below /proc/sys, value), and a decision for each.

    Raises:
        UsageError: a name or value is malformed, or a name is given twice.
    """
    settings: dict[str, str] = {}
    decisions: list[Decision] = []
    for name, value in request.sysctls:
        path = _path_of(name, value)
        if path in settings:
            raise UsageError(f"--sysctl {name}", cause="it is given twice", remedy="give it once")
        settings[path] = value
        decisions.append(_decide(name, value, path, own_network=own_network))
    return tuple(settings.items()), tuple(decisions)


def _path_of(name: str, value: str) -> str:
    """Return the path below /proc/sys."""
    path = path_of(name)
    if path is None:
        raise UsageError(
            f"--sysctl {name!r}", cause="it is no name of a sysctl", remedy="write it as net.core.x"
        )
    if "\0" in value or "\n" in value or not value:
        raise UsageError(
            f"--sysctl {name}",
            cause="its value is empty or is more than one line",
            remedy="write NAME=VALUE on one line",
        )
    return path


def _decide(name: str, value: str, path: str, *, own_network: bool) -> Decision:
    wish = by_flag(f"sysctl {name}", f"{name}={value}", f"--sysctl {name}={value}")
    kind = namespace_of(path)
    if kind == "ipc":
        return wish.granted("set in the container's ipc namespace")
    if kind == "network":
        if own_network:
            return wish.granted("set in the container's network namespace")
        return wish.refused(
            cause="the container shares the outer network, so it would change the outer sysctl",
            remedy="use --network none, or set it outside",
        )
    if path in _UTS:
        return wish.refused(cause="it is no limit but a name", remedy=_UTS[path])
    return wish.refused(
        cause="it belongs to no namespace, so it would change the whole machine",
        remedy=f"set it outside: sysctl -w {name}={value}",
    )
