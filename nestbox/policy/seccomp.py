"""Which rules of a seccomp profile apply to a container: pure, the same answer for the same input.

Source: the profile format of moby and podman; capability names are those of capabilities(7).
"""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.errors import Refused
from nestbox.oci.seccomp import LinuxSeccomp, SeccompAction, SeccompArchitecture
from nestbox.oci.seccomp_profile import SeccompCondition, SeccompProfile, SeccompRule

# By the machine name of uname(2). MIPS says the same for both byte orders, so a caller on a
# little-endian one says `mipsel` or `mips64el`, as Debian does.
_MACHINES: Final[dict[str, SeccompArchitecture]] = {
    **{architecture.library_name: architecture for architecture in SeccompArchitecture},
    "i386": SeccompArchitecture.X86,
    "i486": SeccompArchitecture.X86,
    "i586": SeccompArchitecture.X86,
    "i686": SeccompArchitecture.X86,
    "armv6l": SeccompArchitecture.ARM,
    "armv7l": SeccompArchitecture.ARM,
    "armv8l": SeccompArchitecture.ARM,
    "mips64el": SeccompArchitecture.MIPSEL64,
    "sh4": SeccompArchitecture.SH,
}


class SeccompSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a filter amounts to, for the record of a launch."""

    profile: str
    allowed: int  # syscalls, those allowed for some arguments only included
    default: str  # what happens to every other syscall
    capabilities_on: tuple[str, ...]  # granted, and some rule allows more because of it
    capabilities_off: tuple[str, ...]  # not granted, and some rule would allow more with it
    architectures: tuple[str, ...]


def resolve(
    profile: SeccompProfile,
    *,
    capabilities: frozenset[str],
    machine: str,
    kernel: tuple[int, int],
) -> LinuxSeccomp:
    """Return the filter that a profile means for one container.

    Args:
        profile: the profile.
        capabilities: the names in the container's bounding set, as ``CAP_CHOWN``.
        machine: the machine name of uname(2).
        kernel: its major and minor version.

    Raises:
        Refused: the profile has conditions and the machine is not one it could know.
    """
    native = _native(profile, machine)
    return msgspec.structs.replace(
        profile.base,
        architectures=profile.base.architectures or _architectures(profile, native),
        syscalls=tuple(
            rule.syscall for rule in profile.rules if _applies(rule, capabilities, native, kernel)
        ),
    )


def summarize(
    profile: SeccompProfile, seccomp: LinuxSeccomp, *, name: str, capabilities: frozenset[str]
) -> SeccompSummary:
    """Return what to record of a filter that came from a profile.

    Args:
        profile: the profile.
        seccomp: what ``resolve`` made of it.
        name: what the user knows the profile by.
        capabilities: what ``resolve`` was given.
    """
    conditional = {
        name
        for rule in profile.rules
        if rule.syscall.action is SeccompAction.ALLOW
        for name in rule.includes.capabilities
    }
    return SeccompSummary(
        profile=name,
        allowed=len(allowed_syscalls(seccomp)),
        default=seccomp.default_action.value,
        capabilities_on=tuple(sorted(conditional & capabilities)),
        capabilities_off=tuple(sorted(conditional - capabilities)),
        architectures=tuple(architecture.value for architecture in seccomp.architectures),
    )


def allowed_syscalls(seccomp: LinuxSeccomp) -> frozenset[str]:
    """Return the names that some rule allows, if only for some arguments."""
    return frozenset(
        name
        for rule in seccomp.syscalls
        if rule.action is SeccompAction.ALLOW
        for name in rule.names
    )


def _native(profile: SeccompProfile, machine: str) -> SeccompArchitecture | None:
    """Return the machine's architecture, or None when nothing in the profile depends on it."""
    native = _MACHINES.get(machine)
    if native is None and (
        profile.architecture_map
        or any(rule.includes.architectures or rule.excludes.architectures for rule in profile.rules)
    ):
        raise Refused(
            f"cannot apply the seccomp profile {profile.source!r}",
            cause=f"its rules depend on the architecture and {machine!r} is none that is known",
            remedy="give a profile without `archMap` and `arches`, or seccomp=unconfined",
        )
    return native


def _architectures(
    profile: SeccompProfile, native: SeccompArchitecture | None
) -> tuple[SeccompArchitecture, ...]:
    """Return the native architecture and those the profile puts beside it."""
    if native is None or native not in profile.architecture_map:
        return ()  # means the native one
    return (native, *profile.architecture_map[native])


def _applies(
    rule: SeccompRule,
    capabilities: frozenset[str],
    native: SeccompArchitecture | None,
    kernel: tuple[int, int],
) -> bool:
    """Return whether a rule is part of the filter: all it includes holds, nothing it excludes."""
    return _includes(rule.includes, capabilities, native, kernel) and not _excludes(
        rule.excludes, capabilities, native, kernel
    )


def _includes(
    condition: SeccompCondition,
    capabilities: frozenset[str],
    native: SeccompArchitecture | None,
    kernel: tuple[int, int],
) -> bool:
    """Return whether every part of a condition holds; an architecture is one of a list."""
    return (
        capabilities.issuperset(condition.capabilities)
        and (not condition.architectures or native in condition.architectures)
        and (condition.kernel is None or kernel >= condition.kernel)
    )


def _excludes(
    condition: SeccompCondition,
    capabilities: frozenset[str],
    native: SeccompArchitecture | None,
    kernel: tuple[int, int],
) -> bool:
    """Return whether any part of a condition holds."""
    return (
        not capabilities.isdisjoint(condition.capabilities)
        or native in condition.architectures
        or (condition.kernel is not None and kernel >= condition.kernel)
    )
