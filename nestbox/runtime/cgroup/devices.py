"""The devices that a container may use, enforced by its cgroup: a list on v1, a program on v2."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_devices import (
    Rule,
    RuleSet,
    may_be_lost,
    parse_list,
    rule_set,
    rule_text,
    transition,
)
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup.files import read, write

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_location import CgroupLocation

_MOST_PROGRAMS = 1024  # far above the 64 that the kernel attaches to one cgroup


def apply_devices(
    location: CgroupLocation, rules: Sequence[Rule], *, user_namespace: bool = False
) -> str | None:
    """Enforce device rules in the container's cgroup; return why that was not possible, if so.

    Nothing is enforced, and that is said, where nothing is lost by it: in a user namespace
    (``user_namespace`` is whether we are in one), for rootless containers, and where the rules
    deny nothing. What was enforced before stays in force until the new rules are.

    Raises:
        ConfigError: the rules cannot be expressed.
        LaunchError: they cannot be enforced, and deny something.
    """
    target = rule_set(rules)
    try:
        _enforce(location, target, user_namespace=user_namespace)
    except LaunchError as error:
        # A limit that cannot be had because it has no cgroup costs a rootless container nothing:
        # it cannot open what its user cannot.
        if location.rootless or may_be_lost(rules, user_namespace=user_namespace):
            return f"device rules are not enforced: {error.cause}"
        raise
    return None


def _enforce(location: CgroupLocation, target: RuleSet, *, user_namespace: bool) -> None:
    directory = location.directories.get("devices") if location.version == 1 else None
    try:
        if directory is not None:
            if user_namespace:
                raise _failed("the devices cgroup cannot be changed in a user namespace")
            _write_list(directory, target)
            return
        unified = location.directories.get(UNIFIED)
        if unified is None:
            raise _failed("mountpoint for devices not found: there is no cgroup to enforce them")
        _attach_program(unified, target)
    except OSError as error:
        raise _failed(reason(error)) from error


def _write_list(directory: str, target: RuleSet) -> None:
    """Bring devices.list to a set of rules by the fewest writes, and see that it is that."""
    for rule in transition(_read_list(directory), target):
        write(directory, "devices.allow" if rule.allow else "devices.deny", rule_text(rule))
    found = _read_list(directory)
    if found.allows != target.allows or (not target.allows and found != target):
        raise _failed("resulting devices cgroup doesn't precisely match target")


def _read_list(directory: str) -> RuleSet:
    try:
        return parse_list(read(directory, "devices.list"))
    except (ValueError, KeyError) as error:
        raise _failed(f"{directory}/devices.list cannot be read: {error}") from error


def _attach_program(directory: str, target: RuleSet) -> None:
    """Attach the program of these rules in the place of the ones before. Raises OSError."""
    from nestbox.kernel import constants, syscalls
    from nestbox.policy.config.cgroup_bpf import LICENSE, device_program, encode

    kind = constants.BPF_CGROUP_DEVICE
    cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = [cgroup]
    try:
        old = [_open_program(number) for number in _attached(cgroup)]
        programs = [fd for fd in old if fd is not None]
        opened += programs
        code = encode(device_program(target), sys.byteorder)
        new = syscalls.bpf_prog_load(constants.BPF_PROG_TYPE_CGROUP_DEVICE, code, LICENSE)
        opened.append(new)
        flags = constants.BPF_F_ALLOW_MULTI
        if len(programs) == 1 and _replaces(cgroup, new, programs[0]):
            return
        syscalls.bpf_prog_attach(cgroup, new, kind, flags)
        for program in programs:
            syscalls.bpf_prog_detach(cgroup, program, kind)
    finally:
        for fd in opened:
            os.close(fd)


def _replaces(cgroup: int, new: int, old: int) -> bool:
    """Put a program in the place of another in one step; return whether the kernel can (5.6)."""
    from nestbox.kernel import constants, syscalls

    try:
        syscalls.bpf_prog_attach(
            cgroup, new, constants.BPF_CGROUP_DEVICE, constants.BPF_F_ALLOW_MULTI, replaced=old
        )
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def _attached(cgroup: int) -> tuple[int, ...]:
    from nestbox.kernel import constants, syscalls

    try:
        return syscalls.bpf_prog_query(cgroup, constants.BPF_CGROUP_DEVICE)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return syscalls.bpf_prog_query(cgroup, constants.BPF_CGROUP_DEVICE, _MOST_PROGRAMS)


def _open_program(number: int) -> int | None:
    """Return a descriptor of an attached program; None for one that is kept from us.

    One that stays can only refuse more than ours does.
    """
    from nestbox.kernel import syscalls

    try:
        return syscalls.bpf_prog_get_fd_by_id(number)
    except (PermissionError, FileNotFoundError):
        return None


def _failed(cause: str) -> LaunchError:
    return LaunchError(
        "cannot enforce linux.resources.devices",
        cause=cause,
        remedy="run nestbox where it may use the devices cgroup (v1) or bpf(2) with CAP_BPF (v2)",
    )
