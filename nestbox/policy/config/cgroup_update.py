"""The resources of a running container with some of them changed. Pure.

Devices stay as they are: what a hook allowed beside the configuration would be lost.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from nestbox.oci.resources import (
    LinuxBlockIO,
    LinuxCPU,
    LinuxMemory,
    LinuxPids,
    LinuxResources,
    LinuxWeightDevice,
)

Part = TypeVar("Part", bound=msgspec.Struct)


class _Numbered(Protocol):
    @property
    def major(self) -> int: ...

    @property
    def minor(self) -> int: ...


Device = TypeVar("Device", bound=_Numbered)


def merged(present: LinuxResources, change: LinuxResources) -> LinuxResources:
    """Return the present resources with each value replaced that the change names.

    Of quota and period, one that is changed alone keeps the other, and where neither is in the
    change both are left as the kernel has them. Cpusets, idle and burst are written only when they
    change.
    """
    memory = change.memory or LinuxMemory()
    if memory.limit == -1 and memory.swap is None:
        # Unlimited memory with the old limit of both together would contradict itself.
        memory = msgspec.structs.replace(memory, swap=0)
    return msgspec.structs.replace(
        present,
        memory=_over(present.memory or LinuxMemory(), memory),
        cpu=_cpu(present.cpu or LinuxCPU(), change.cpu or LinuxCPU()),
        pids=change.pids or LinuxPids(),
        block_io=_block_io(present.block_io or LinuxBlockIO(), change.block_io or LinuxBlockIO()),
        unified=change.unified,
    )


def _over(present: Part, change: Part) -> Part:
    """Return a part with what the change sets; None and nothing mean "as it is"."""
    fields = {name: getattr(change, name) for name in change.__struct_fields__}
    return msgspec.structs.replace(
        present, **{name: value for name, value in fields.items() if value not in (None, "", ())}
    )


def _cpu(present: LinuxCPU, change: LinuxCPU) -> LinuxCPU:
    quota, period = change.quota or 0, change.period or 0
    if bool(quota) == bool(period):
        pair = (quota, period)
    else:
        pair = (quota or present.quota or 0, period or present.period or 0)
    shares = 0 if change.idle is not None and change.shares is None else change.shares
    return msgspec.structs.replace(
        _over(present, change),
        quota=pair[0],
        period=pair[1],
        shares=present.shares if shares is None else shares,
        burst=change.burst,
        idle=change.idle,
        cpus=change.cpus,
        mems=change.mems,
    )


def _block_io(present: LinuxBlockIO, change: LinuxBlockIO) -> LinuxBlockIO:
    lists = {
        name: _with_devices(getattr(present, name), getattr(change, name))
        for name in LinuxBlockIO.__struct_fields__
        if name.endswith("_device")
    }
    return msgspec.structs.replace(_over(present, change), **lists)


def _with_devices(present: tuple[Device, ...], change: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return the entries with those of the change in the place of what is for the same device."""
    found = {(entry.major, entry.minor): entry for entry in present}
    for entry in change:
        key = (entry.major, entry.minor)
        old = found.get(key)
        if isinstance(entry, LinuxWeightDevice) and isinstance(old, LinuxWeightDevice):
            found[key] = _over(old, entry)
        else:
            found[key] = entry
    return tuple(found.values())
