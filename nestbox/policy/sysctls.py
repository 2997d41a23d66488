"""Sysctls of the container: only those that belong to a namespace of its own. Pure.

Source: namespaces(7) and the kernel's registration of each table; CVE-2022-0811 is what an
unchecked name or value led to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.oci.sysctls import DOMAINNAME, HOSTNAME, namespace_of, path_of
from nestbox.outer.derived import is_below
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nestbox.outer.facts import Trial
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_UTS: Final = {
    HOSTNAME: "use --hostname",
    DOMAINNAME: "leave it out: nestbox sets no domain name",
}


# The kernel's kinds of namespaces, by the words of nestbox.oci.sysctls.
KINDS: Final = {"ipc": "ipc", "network": "net"}
_LINKS: Final = frozenset({"all", "default", "lo"})  # interfaces that every network has


class _Asked(msgspec.Struct, frozen=True):
    """One sysctl that the container is to have, by its path below /proc/sys."""

    name: str
    value: str
    wish: Wish


def _asked(request: RunRequest, profile: Profile) -> dict[str, _Asked]:
    """Return what is asked for by path; what is named replaces what the profile has."""
    found = {}
    for name, value in profile.sysctls:
        wish = by_profile(f"sysctl {name}", value, profile.name)
        found[_path_of(name, value)] = _Asked(name, value, wish)
    named = set()
    for name, value in request.sysctls:
        path = _path_of(name, value)
        if path in named:
            raise UsageError(f"--sysctl {name}", cause="it is given twice", remedy="give it once")
        named.add(path)
        wish = by_flag(f"sysctl {name}", f"{name}={value}", f"--sysctl {name}={value}")
        found[path] = _Asked(name, value, wish)
    return found


def sysctls_to_try(request: RunRequest, profile: Profile) -> dict[str, dict[str, str]]:
    """Return by kind of namespace (``"ipc"``, ``"net"``) the paths and values worth a trial.

    Those of an interface that only the launch makes cannot be tried before.

    Raises:
        UsageError: a name or value is malformed, or a name is given twice.
    """
    found: dict[str, dict[str, str]] = {}
    for path, asked in _asked(request, profile).items():
        kind = KINDS.get(namespace_of(path))
        if kind is not None and not _is_of_a_link(path):
            found.setdefault(kind, {})[path] = asked.value
    return found


def _is_of_a_link(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 5 and parts[2] in {"conf", "neigh"} and parts[3] not in _LINKS


def decide_sysctls(  # noqa: PLR0913 - what was asked, and the facts about each kind
    request: RunRequest,
    profile: Profile,
    tried: Mapping[str, Trial],
    *,
    own_ipc: bool,
    own_network: bool,
    covered: tuple[str, ...] = (),
) -> tuple[tuple[tuple[str, str], ...], tuple[Decision, ...]]:
    """Return what to write, as (path below /proc/sys, value), and a decision for each.

    ``tried`` tells by path what came of setting it in a namespace like the container's, ``covered``
    are paths of the container's /proc over which the outer environment has mounted.

    Raises:
        UsageError: a name or value is malformed, or a name is given twice.
    """
    settings: dict[str, str] = {}
    decisions: list[Decision] = []
    own = {"ipc": own_ipc, "network": own_network}
    for path, asked in _asked(request, profile).items():
        obstacle = _obstacle(path, asked, own) or _failure(path, asked, tried.get(path))
        if obstacle is None:
            obstacle = _cover(path, covered)
        if obstacle is None:
            settings[path] = asked.value
            kind = namespace_of(path)
            decisions.append(asked.wish.granted(f"set in the container's {kind} namespace"))
        else:
            cause, remedy = obstacle
            decisions.append(asked.wish.short("left as it is", cause=cause, remedy=remedy))
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


def _obstacle(path: str, asked: _Asked, own: Mapping[str, bool]) -> tuple[str, str] | None:
    """Return why a sysctl is not the container's to set, and the remedy."""
    kind = namespace_of(path)
    outside = f"set it outside: sysctl -w {asked.name}={asked.value}"
    if own.get(kind):
        return None
    if kind in own:
        return (
            f"the container shares the outer {kind}, so it would change the outer sysctl",
            "use --network none, or set it outside" if kind == "network" else outside,
        )
    if path in _UTS:
        return "it is no limit but a name", _UTS[path]
    return "it belongs to no namespace, so it would change the whole machine", outside


def _cover(path: str, covered: tuple[str, ...]) -> tuple[str, str] | None:
    """Return that a mount of the outer environment lies over the file."""
    over = next((one for one in covered if is_below(f"/proc/sys/{path}", one)), None)
    if over is None:
        return None
    return (
        f"the container's /proc is the outer one, where {over} is mounted over",
        "give the outer container an unmasked /proc; for docker, with --security-opt "
        "systempaths=unconfined",
    )


def _failure(path: str, asked: _Asked, trial: Trial | None) -> tuple[str, str] | None:
    """Return what came of a trial that failed."""
    if trial is None or trial.works or trial.error in {"TIMEOUT", "KILLED"}:
        return None
    own = f"the container's {namespace_of(path)} namespace"
    value = f"tried, and the kernel refuses the value {asked.value!r}", "check the value"
    closed = (
        f"tried, and it is read-only in {own}: one for the whole machine, or for the first "
        "namespace",
        f"set it outside: sysctl -w {asked.name}={asked.value}",
    )
    known = {
        "ENOENT": (f"tried, and {own} has no /proc/sys/{path}", "check its name"),
        "EINVAL": value,
        "ERANGE": value,
        "EACCES": closed,
        "EPERM": closed,
    }
    return known.get(
        trial.error or "", (f"tried, and setting it in {own} gave {trial.error}", "leave it out")
    )
