"""The steps that make device nodes and the links beside them. Makes no choices."""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.plan.places import attached_at, place_of
from nestbox.plan.steps import (
    SLOT_NEW,
    SLOT_NONE,
    SLOT_SCRATCH,
    TARGET_MAKE,
    TARGET_NO_SYMLINKS,
    Attach,
    MakeDevice,
    MakeLink,
    OpenTree,
    SetAttr,
    Step,
)
from nestbox.policy.launch_spec import DeviceSpec, LaunchSpec

_DEV = "/dev/"


def early_device_steps(launch: LaunchSpec) -> Iterator[Step]:
    """What belongs into the /dev that was mounted just now."""
    for device in launch.devices:
        if device.target.startswith(_DEV):
            yield from _device(launch, device)
    for target, value in launch.device_links:
        if target.startswith(_DEV):
            yield from _link(launch, target, value)


def device_steps(launch: LaunchSpec) -> Iterator[Step]:
    """What belongs elsewhere, or into the /dev of the root, when all is mounted.

    A /dev from outside has devices of its own, and none are made in it.
    """
    made = attached_at(launch.mounts, "/dev")
    for device in launch.devices:
        if not device.target.startswith(_DEV) or not made:
            yield from _device(launch, device)
    for target, value in launch.device_links:
        if not target.startswith(_DEV) or not made:
            yield from _link(launch, target, value)


def _link(launch: LaunchSpec, target: str, value: str) -> Iterator[Step]:
    base, name = place_of(launch.mounts, target)
    yield MakeLink(name=name, value=value, base=base)


def _device(launch: LaunchSpec, device: DeviceSpec) -> Iterator[Step]:
    base, target = place_of(launch.mounts, device.target)
    if device.source is None and not device.lent:
        yield _made(device, target, base)
        return
    name, source = device.target.rpartition("/")[2], device.source
    if source is None:
        yield _made(device, name, SLOT_SCRATCH)
    yield OpenTree(
        slot=SLOT_NEW,
        path=source or name,
        kind=device.kind,
        major=device.major,
        minor=device.minor,
        base=SLOT_NONE if source else SLOT_SCRATCH,
    )
    # Read-only, since the inode may be the outer one: a device can be written all the same, but its
    # owner and mode cannot be changed.
    yield SetAttr(slot=SLOT_NEW, attributes=("ro", "nosuid", "noexec"), propagation="private")
    how = TARGET_MAKE | TARGET_NO_SYMLINKS
    yield Attach(slot=SLOT_NEW, target=target, how=how, mode=0o666, base=base)


def _made(device: DeviceSpec, name: str, base: int) -> MakeDevice:
    return MakeDevice(
        name=name,
        kind=device.kind,
        major=device.major,
        minor=device.minor,
        mode=device.mode,
        uid=device.uid,
        gid=device.gid,
        base=base,
    )
