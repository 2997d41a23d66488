"""Checks of the kernel's other settings in ``linux``: devices, RDT, memory policy, personality.

Source: runtime-spec 1.3, config-linux.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nestbox.oci.case import Case
from nestbox.oci.linux import (
    MEMORY_POLICY_FLAGS,
    MEMORY_POLICY_MODES,
    PERSONALITY_DOMAINS,
    ROOTFS_PROPAGATIONS,
    LinuxMemoryPolicy,
)
from nestbox.oci.names import read_list
from nestbox.oci.problem import Problem
from nestbox.oci.seccomp import find_problems as find_seccomp_problems

_DEVICE_TYPES: Final = ("b", "c", "p", "u")
_WITHOUT_NODES: Final = ("MPOL_DEFAULT", "MPOL_LOCAL")
_NODES_OPTIONAL: Final = ("MPOL_PREFERRED",)


def check_devices(case: Case) -> Iterator[Problem]:
    """Yield nodes of unknown types, at relative paths, or with numbers that are none."""
    for index, device in enumerate(case.config.linux.devices):
        place = f"$.linux.devices[{index}]"
        if device.type not in _DEVICE_TYPES:
            yield Problem(
                place=f"{place}.type",
                cause=f"invalid device type {device.type!r}",
                remedy=f"one of {', '.join(_DEVICE_TYPES)}",
            )
        if not device.path.startswith("/"):
            yield Problem(place=f"{place}.path", cause=f"{device.path!r} is not an absolute path")
        if device.type != "p" and min(device.major, device.minor) < 0:
            yield Problem(place=place, cause=f"{device.major}:{device.minor} is no device")


def check_seccomp(case: Case) -> Iterator[Problem]:
    """Yield what contradicts itself in the filter."""
    seccomp = case.config.linux.seccomp
    for found in find_seccomp_problems(seccomp) if seccomp else ():
        yield Problem(
            place=found.place.replace("$", "$.linux.seccomp", 1),
            cause=found.cause,
            remedy=found.remedy,
        )


def check_rootfs_propagation(case: Case) -> Iterator[Problem]:
    """Yield an unknown propagation; engines write the recursive form too."""
    text = case.config.linux.rootfs_propagation
    known = {prefix + name for name in ROOTFS_PROPAGATIONS for prefix in ("", "r")}
    if text and text not in known:
        yield Problem(
            place="$.linux.rootfsPropagation",
            cause=f"{text!r} is not supported",
            remedy=f"one of {', '.join(ROOTFS_PROPAGATIONS)}",
        )


def check_intel_rdt(case: Case) -> Iterator[Problem]:
    """Yield a class that is no directory of resctrl, and schemata that are not one line each."""
    rdt = case.config.linux.intel_rdt
    if rdt is None:
        return
    if rdt.clos_id in {".", ".."} or ("/" in rdt.clos_id and rdt.clos_id != "/"):
        yield Problem(place="$.linux.intelRdt.closID", cause=f"invalid class {rdt.clos_id!r}")
    if rdt.mem_bw_schema and not rdt.mem_bw_schema.startswith("MB:"):
        yield Problem(place="$.linux.intelRdt.memBwSchema", cause="does not begin with MB:")
    lines = {"l3CacheSchema": rdt.l3_cache_schema, "memBwSchema": rdt.mem_bw_schema}
    lines |= {f"schemata[{index}]": line for index, line in enumerate(rdt.schemata)}
    for field, line in lines.items():
        if "\n" in line:
            yield Problem(place=f"$.linux.intelRdt.{field}", cause="is more than one line")


def check_memory_policy(case: Case) -> Iterator[Problem]:
    """Yield what set_mempolicy(2) refuses."""
    policy = case.config.linux.memory_policy
    if policy is None:
        return
    place = "$.linux.memoryPolicy"
    if policy.mode not in MEMORY_POLICY_MODES:
        yield Problem(
            place=f"{place}.mode",
            cause=f"invalid memory policy mode {policy.mode!r}",
            remedy=f"one of {', '.join(MEMORY_POLICY_MODES)}",
        )
    for index, flag in enumerate(policy.flags):
        if flag not in MEMORY_POLICY_FLAGS:
            yield Problem(
                place=f"{place}.flags[{index}]",
                cause=f"invalid memory policy flag {flag!r}",
                remedy=f"one of {', '.join(MEMORY_POLICY_FLAGS)}",
            )
    if {"MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"} <= {*policy.flags}:
        yield Problem(place=f"{place}.flags", cause="nodes are either static or relative")
    yield from _memory_nodes(f"{place}.nodes", policy)


def _memory_nodes(place: str, policy: LinuxMemoryPolicy) -> Iterator[Problem]:
    try:
        nodes = read_list(policy.nodes)
    except ValueError as error:
        cause = f"invalid memory policy nodes {policy.nodes!r}: {error}"
        yield Problem(place=place, cause=cause, remedy="write it as 0-3,7")
        return
    if nodes and policy.mode in _WITHOUT_NODES:
        count = sum(last - first + 1 for first, last in nodes)
        cause = f"memory policy mode requires 0 nodes but got {count}"
        yield Problem(place=place, cause=cause, remedy=f"leave them out with {policy.mode}")
    elif not nodes and policy.mode not in _WITHOUT_NODES + _NODES_OPTIONAL:
        yield Problem(place=place, cause=f"{policy.mode} needs at least one node")


def check_personality(case: Case) -> Iterator[Problem]:
    """Yield an unknown execution domain. Source: personality(2)."""
    personality = case.config.linux.personality
    if personality and personality.domain not in PERSONALITY_DOMAINS:
        yield Problem(
            place="$.linux.personality.domain",
            cause=f"invalid personality domain {personality.domain!r}",
            remedy=f"one of {', '.join(PERSONALITY_DOMAINS)}",
        )


def warn_linux(case: Case) -> Iterator[Problem]:
    """Yield settings that have no effect."""
    linux = case.config.linux
    if linux.personality and linux.personality.flags:
        yield Problem(
            place="$.linux.personality.flags",
            cause="no flag of a personality is supported, so they are ignored",
            remedy="leave them out",
        )
    memory = linux.resources.memory if linux.resources else None
    if memory and (memory.kernel is not None or memory.kernel_tcp is not None):
        yield Problem(
            place="$.linux.resources.memory",
            cause="limits of kernel memory are ignored: kernels have them no more",
            remedy="leave out `kernel` and `kernelTCP`",
        )
    if case.joins("user") and (linux.uid_mappings or linux.gid_mappings):
        yield Problem(
            place="$.linux.uidMappings",
            cause="the user namespace to join has its own ids",
            remedy="leave out either the path or the mappings",
        )
