"""Nodes and links below /dev: those that every container has, and those of the configuration. Pure.

The ladder for a node: mknod - a bind of the outer one, where mknod is not possible - refuse. A /dev
that is itself a bind is left as it is. Source: runtime-spec config-linux.md "Devices".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.policy.config.places import inside, is_bind
from nestbox.policy.devices import DEFAULT
from nestbox.policy.launch_spec import DeviceSpec
from nestbox.policy.subjects import holds

if TYPE_CHECKING:
    from nestbox.oci.linux import LinuxDevice
    from nestbox.policy.config.case import Case
    from nestbox.policy.decision import Decision

_LINKS: Final = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)
_CORE: Final = ("/dev/core", "/proc/kcore")
_PTMX: Final = ("/dev/ptmx", "pts/ptmx")
_PERMISSIONS: Final = 0o7777  # fileMode may hold the type of the file as well
_DEFAULT_PATHS: Final = frozenset(path for path, _, _ in DEFAULT)


class DeviceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes and links to make; none of either where /dev comes from outside."""

    devices: tuple[DeviceSpec, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    decisions: tuple[Decision, ...] = ()


def decide_devices(case: Case) -> DeviceChoice:
    """Return what is made below /dev."""
    if any(is_bind(mount) and inside(mount.destination) == "/dev" for mount in case.config.mounts):
        return DeviceChoice()
    # In the first user namespace alone does the kernel make nodes for whoever holds this.
    makes = not case.foreign and holds(case.environment, "CAP_MKNOD")
    nodes: dict[str, DeviceSpec] = {}
    decisions: list[Decision] = []
    for device in case.config.linux.devices:
        path = inside(device.path)
        if path in nodes or path == _PTMX[0]:
            continue  # the first of two counts, and the pty multiplexer is that of /dev/pts
        nodes[path] = _spec(device, path, makes=makes or device.type == "p")
        if nodes[path].source is not None and path not in _DEFAULT_PATHS:
            decisions.append(_bound(nodes[path], case))
    for path, major, minor in DEFAULT:
        source = None if makes else path
        default = DeviceSpec(target=path, source=source, kind="c", major=major, minor=minor)
        nodes.setdefault(path, default)
    if not makes:
        wish = case.wish("devices", "the default nodes", "linux")
        decisions.append(wish.granted("bound from outside", cause=_why_bound(case)))
    if case.options.rootless and case.foreign:
        decisions.append(_unrestricted(case))
    return DeviceChoice(
        devices=tuple(nodes.values()),
        links=(*_LINKS, *((_CORE,) if case.bundle.kcore else ()), _PTMX),
        decisions=tuple(decisions),
    )


def _spec(device: LinuxDevice, path: str, *, makes: bool) -> DeviceSpec:
    return DeviceSpec(
        target=path,
        source=None if makes else path,
        kind="c" if device.type == "u" else device.type,
        major=device.major,
        minor=device.minor,
        mode=0o666 if device.file_mode is None else device.file_mode & _PERMISSIONS,
        uid=device.uid or 0,
        gid=device.gid or 0,
    )


def _why_bound(case: Case) -> str:
    if case.foreign:
        return "mknod(2) makes no devices in a user namespace"
    return "CAP_MKNOD is not in the outer effective set"


def _unrestricted(case: Case) -> Decision:
    """Return what keeps devices away from a rootless container, whose cgroup seldom can."""
    wish = case.wish("device-rules", "the default rules", "linux.resources.devices")
    return wish.granted(
        "no node but those bound from outside, each opened with the rights of its user",
        cause="without root neither the devices cgroup (v1) nor bpf(2) (v2) can be relied on",
    )


def _bound(spec: DeviceSpec, case: Case) -> Decision:
    """Return the decision about a node that is bound from outside, if it is the same device."""
    numbers = f"{spec.kind} {spec.major}:{spec.minor}"
    wish = case.wish(f"device {spec.target}", numbers, "linux.devices")
    found = case.bundle.devices.get(spec.target)
    cause = _why_bound(case)
    if case.foreign:
        remedy = f"give the outer environment {spec.target}, or leave the user namespace out"
    else:
        remedy = f"give the outer environment CAP_MKNOD, or {spec.target}"
    if found is None:
        return wish.refused(cause=f"{cause}, and there is no outer {spec.target}", remedy=remedy)
    if (found.kind, found.major, found.minor) != (spec.kind, spec.major, spec.minor):
        other = f"{found.kind} {found.major}:{found.minor}"
        return wish.refused(cause=f"{cause}, and the outer one is {other}", remedy=remedy)
    if (found.mode, found.uid, found.gid) == (spec.mode, spec.uid, spec.gid) or case.foreign:
        return wish.granted("bound from outside", cause=cause)
    return wish.short(
        f"bound from outside, with its mode {found.mode:04o} and owner {found.uid}:{found.gid}",
        cause=cause,
        remedy=remedy,
    )
