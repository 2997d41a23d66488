"""Whether newuidmap(1) and newgidmap(1) can map ids for our user, and what disarms them. Pure.

Source: execve(2), "Set-user-ID and set-group-ID programs"; capabilities(7), "Transformation of
capabilities during execve()" and "The securebits flags"; newuidmap(1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import EngineKind, Subject
from nestbox.policy.subjects import need

if TYPE_CHECKING:
    from nestbox.outer.facts import MapTool, OuterEnvironment

_INSTALL: Final = (
    "install newuidmap and newgidmap (package uidmap of Debian, shadow-utils of Fedora)"
)
_NOROOT: Final = 1  # SECBIT_NOROOT: root's programs are like those of any user


def tools_problem(environment: OuterEnvironment) -> tuple[str, str] | None:
    """Return why the two programs cannot map ids for us, and the remedy; None when they can."""
    tools = need(environment.tools, Subject.TOOLS)
    rights = need(environment.capabilities, Subject.CAPABILITIES)
    if not (tools.newuidmap and tools.newgidmap):
        missing = [name for name in ("newuidmap", "newgidmap") if not getattr(tools, name)]
        return f"{' and '.join(missing)} {_are(missing)} not on PATH", _INSTALL
    if rights.no_new_privs:
        return "no_new_privs is set around us, which disarms newuidmap and newgidmap", _let_grow(
            environment
        )
    if not tools.account:
        return (
            "our uid has no entry in the user database, which newuidmap asks for",
            "add a user with this uid to /etc/passwd",
        )
    for path, facts, capability in (
        (tools.newuidmap, tools.newuidmap_rights, "CAP_SETUID"),
        (tools.newgidmap, tools.newgidmap_rights, "CAP_SETGID"),
    ):
        problem = _unarmed(path, facts, capability, environment) if facts else None
        if problem:
            return problem
    return None


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _unarmed(
    path: str, facts: MapTool, capability: str, environment: OuterEnvironment
) -> tuple[str, str] | None:
    """Return what keeps one of them from its rights."""
    rights = need(environment.capabilities, Subject.CAPABILITIES)
    number = BY_NAME[capability]
    by_root = facts.setuid == 0 and not rights.securebits & _NOROOT
    by_file = bool(facts.file_permitted >> number & 1)
    if not (by_root or by_file):
        lower = capability.lower()
        return (
            f"{path} is neither set-user-ID root nor has it the file capability {lower}",
            f"as root, run: chmod u+s {path}",
        )
    if facts.nosuid:
        return (
            f"{path} lies on a mount with nosuid, which disarms it",
            "remount it with suid, or put the program where that is so",
        )
    if not rights.sets.bounding >> number & 1:
        return (
            f"{capability} is not in the outer bounding set, so {path} cannot get it",
            f"give the outer environment {capability}",
        )
    return None


def _let_grow(environment: OuterEnvironment) -> str:
    engine = environment.engine.kind if environment.engine else EngineKind.UNKNOWN
    if engine in {EngineKind.KUBERNETES, EngineKind.TALOS}:
        return "set in the pod: securityContext.allowPrivilegeEscalation: true"
    return (
        "start the outer environment without no_new_privs; for docker, without --security-opt "
        + ("no-new-privileges")
    )
