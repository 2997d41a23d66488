"""Where a capability was lost, and what gives it back in the environment around us. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import CapabilitySets, EngineKind
from nestbox.policy.decision import CapabilityCause

if TYPE_CHECKING:
    from nestbox.outer.facts import Ancestor, OuterEnvironment


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Ourselves: what we hold, and whether an exec gives us all of the bounding set, as to root."""

    sets: CapabilitySets
    root: bool


_MAKES_NAMESPACES = "CAP_SYS_ADMIN"
_PERMITTED = "as root, or with ambient capabilities"
_LOST_BEFORE = ", before or at the start of this pid namespace"


def lost_at(environment: OuterEnvironment, number: int, *, permitted: bool = False) -> str:
    """Return the oldest process of the run that ends at us and lacks the capability.

    Its parent still has it. Looked for in the bounding sets, or in the permitted ones. ``pid 1
    (init), before or at the start of this pid namespace`` when no visible process of the run has a
    parent that has it; empty when no ancestor was observed.
    """
    chain = environment.ancestry
    if chain is None:
        return ""
    if not chain:
        return "pid 1 (this process)" + _LOST_BEFORE
    loser: Ancestor | None = None
    for ancestor in chain:
        held = ancestor.sets.permitted if permitted else ancestor.sets.bounding
        if held >> number & 1:
            break
        loser = ancestor
    if loser is None:
        pid = environment.identity.pid if environment.identity else None
        return f"pid {pid} (this process)" if pid else "this process"
    return _process(loser) + (_LOST_BEFORE if loser is chain[-1] else "")


def _process(ancestor: Ancestor) -> str:
    """Return ``pid 812 (bash)``; a name may hold any byte, so it is escaped."""
    name = ancestor.name if ancestor.name.isprintable() else ascii(ancestor.name)[1:-1]
    return f"pid {ancestor.pid} ({name})"


def remedy(
    cause: CapabilityCause,
    names: tuple[str, ...],
    *,
    where: str,
    engine: EngineKind,
    holder: Holder | None = None,
) -> str:
    """Return what to change to get the capabilities, all lost by one cause and at one place.

    ``names`` have their prefix; ``where`` is what `lost_at` answered; a ``holder`` that is not told
    is root and misses nothing else.
    """
    listed = ", ".join(names)
    match cause:
        case CapabilityCause.NEWER_THAN_KERNEL:
            return f"use a kernel that has {listed}"
        case CapabilityCause.NO_EFFECT_IN_USER_NAMESPACE:
            return _leave_user_namespace(names, engine, holder)
        case CapabilityCause.NEEDS_SETPCAP:
            gain = _from_engine(("CAP_SETPCAP",), engine)
            return f"{gain}; or use --userns auto, where CAP_SETPCAP is held"
        case CapabilityCause.NOT_AMBIENT:
            return "leave out --ambient, or run as root"
        case CapabilityCause.NOT_IN_OUTER_BOUNDING | CapabilityCause.NOT_IN_OUTER_PERMITTED:
            return _regain(cause, names, where, engine, holder)
        case _:
            return ""


def _leave_user_namespace(names: tuple[str, ...], engine: EngineKind, holder: Holder | None) -> str:
    """Return how capabilities come to have power that a new user namespace takes from them."""
    enough = f"use --userns host, where {', '.join(names)} has power"
    wanted = dict.fromkeys((_MAKES_NAMESPACES, *names))
    held = holder.sets.effective if holder else -1
    lacking = tuple(name for name in wanted if not held >> BY_NAME.get(name, 0) & 1)
    if not lacking:
        return enough
    gain = _gain(lacking, engine, holder)
    # Without that capability the new one was no wish, but the only way to any namespace.
    return gain if _MAKES_NAMESPACES in lacking else f"{gain}, and {enough}"


def _gain(names: tuple[str, ...], engine: EngineKind, holder: Holder | None) -> str:
    """Return how we come to hold capabilities, be it that we are not root."""
    if holder is None or holder.root:
        return _from_engine(names, engine)
    if all(holder.sets.bounding >> BY_NAME.get(name, 0) & 1 for name in names):
        return _permit(names)
    listed = ", ".join(names)
    return f"{_from_engine(names, engine)}, and nestbox with {listed} permitted: {_PERMITTED}"


def _regain(
    cause: CapabilityCause,
    names: tuple[str, ...],
    where: str,
    engine: EngineKind,
    holder: Holder | None,
) -> str:
    """Return how our own sets come to hold the capabilities."""
    listed = ", ".join(names)
    if where and not where.endswith(_LOST_BEFORE):
        unit = ""
        if engine in (EngineKind.NONE, EngineKind.FIRECRACKER, EngineKind.WSL):
            unit = f" (in a systemd unit: CapabilityBoundingSet={' '.join(names)})"
        return f"start nestbox from a process that has {listed}, not below {where}{unit}"
    if cause is CapabilityCause.NOT_IN_OUTER_PERMITTED:
        return _permit(names)
    return _gain(names, engine, holder)


def _permit(names: tuple[str, ...]) -> str:
    """Return how an unprivileged process comes to hold what its bounding set has."""
    return f"start nestbox with {', '.join(names)} permitted: {_PERMITTED}"


# What each engine calls it: {short} and {long} are names without and with the prefix, comma
# separated; {flags} and {long_flags} are --cap-add flags.
_ENGINE_SETTINGS = {
    EngineKind.DOCKER: "start the outer container with: docker run {flags}",
    EngineKind.PODMAN: "start the outer container with: podman run {flags}",
    EngineKind.NESTBOX: "start the outer container with: nestbox run {flags}",
    EngineKind.CONTAINERD: "start the outer container with: ctr run {long_flags}",
    EngineKind.KUBERNETES: "set in the pod: securityContext.capabilities.add: [{short}]",
    EngineKind.TALOS: "set in the pod: securityContext.capabilities.add: [{short}]",
    EngineKind.LXC: "remove from lxc.cap.drop in the outer container's configuration: {lower}",
    EngineKind.NSPAWN: "start the outer container with: systemd-nspawn --capability={long}",
    EngineKind.GVISOR: "give the sandbox {long}: it emulates only what its spec lists",
    EngineKind.FIRECRACKER: "change the virtual machine's init, which starts without {long}",
    EngineKind.WSL: "start nestbox from a process that has {long} ({unit})",
    EngineKind.NONE: "start nestbox from a process that has {long} ({unit})",
    EngineKind.UNKNOWN: "start the outer container with {long}",
}

# Talos takes these from every process it starts, whatever a pod asks for.
# Source: Talos documentation, "Process Capabilities".
_NEVER_ON_TALOS = frozenset({"CAP_SYS_MODULE", "CAP_SYS_BOOT"})


def _from_engine(names: tuple[str, ...], engine: EngineKind) -> str:
    """Return the smallest setting of the engine around us that gives the capabilities."""
    never = [name for name in names if name in _NEVER_ON_TALOS]
    if engine is EngineKind.TALOS and never:
        return f"no pod setting gives {', '.join(never)} on Talos: use a node of another kind"
    short = [name.removeprefix("CAP_") for name in names]
    return _ENGINE_SETTINGS[engine].format(
        short=", ".join(short),
        lower=" ".join(short).lower(),
        long=",".join(names) if engine is EngineKind.NSPAWN else ", ".join(names),
        flags=" ".join(f"--cap-add {name}" for name in short),
        long_flags=" ".join(f"--cap-add {name}" for name in names),
        unit=f"a systemd unit: CapabilityBoundingSet={' '.join(names)}",
    )
