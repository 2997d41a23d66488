"""Checks of namespaces, and of what is set although it needs one.

Source: runtime-spec 1.3, config-linux.md; namespaces(7), user_namespaces(7), time_namespaces(7).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nestbox.oci.case import Case
from nestbox.oci.linux import NAMESPACES, TIME_CLOCKS
from nestbox.oci.mounts import LinuxIDMapping
from nestbox.oci.problem import Problem

_MAX_NAME: Final = 64  # __NEW_UTS_LEN
_MAX_INTERFACE: Final = 15  # IFNAMSIZ without the end
_MAX_ROWS: Final = 340  # UID_GID_MAP_MAX_EXTENTS
_ID_LIMIT: Final = (1 << 32) - 1  # ids are below; the last is (uid_t)-1
_NANOSECONDS: Final = 1_000_000_000


def check_namespaces(case: Case) -> Iterator[Problem]:
    """Yield types that are unknown or given twice, and paths that are not absolute."""
    seen: set[str] = set()
    for index, one in enumerate(case.config.linux.namespaces):
        place = f"$.linux.namespaces[{index}]"
        if one.type not in NAMESPACES:
            known = ", ".join(NAMESPACES)
            yield Problem(
                place=f"{place}.type",
                cause=f"namespace {one.type!r} does not exist",
                remedy=f"one of {known}",
            )
        if one.type in seen:
            yield Problem(
                place=f"{place}.type", cause=f"duplicated {one.type} namespace", remedy="keep one"
            )
        seen.add(one.type)
        if one.path and not one.path.startswith("/"):
            yield Problem(place=f"{place}.path", cause=f"{one.path!r} is not an absolute path")


def check_names(case: Case) -> Iterator[Problem]:
    """Yield names of the host that are too long or would change the runtime's own."""
    config = case.config
    for field, name in (("hostname", config.hostname), ("domainname", config.domainname)):
        if not name:
            continue
        if not case.has("uts"):
            yield _needs(f"$.{field}", "uts")
        if len(name.encode()) > _MAX_NAME:
            yield Problem(place=f"$.{field}", cause=f"is longer than {_MAX_NAME} bytes")


def check_paths(case: Case) -> Iterator[Problem]:
    """Yield masked and read-only paths that are relative or would be outside the container."""
    linux = case.config.linux
    fields = (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths))
    for field, paths in fields:
        if paths and not case.has("mount"):
            yield _needs(f"$.linux.{field}", "mount")
        for index, path in enumerate(paths):
            if not path.startswith("/"):
                yield Problem(
                    place=f"$.linux.{field}[{index}]", cause=f"{path!r} is not an absolute path"
                )


def check_user_namespace(case: Case) -> Iterator[Problem]:
    """Yield a user namespace without ids, ids without one, and maps that the kernel refuses."""
    linux = case.config.linux
    maps = (("uidMappings", linux.uid_mappings), ("gidMappings", linux.gid_mappings))
    for field, rows in maps:
        place = f"$.linux.{field}"
        if rows and not case.has("user"):
            yield _needs(place, "user")
        if case.has("user") and not case.joins("user") and not rows:
            yield Problem(
                place=place,
                cause="the new user namespace has no ids",
                remedy=f"set `{field}`, or a path to join in linux.namespaces",
            )
        yield from id_map_problems(place, rows)


def id_map_problems(place: str, rows: tuple[LinuxIDMapping, ...]) -> Iterator[Problem]:
    """Yield what the kernel refuses in an id map. Source: user_namespaces(7)."""
    if len(rows) > _MAX_ROWS:
        yield Problem(place=place, cause=f"the kernel takes at most {_MAX_ROWS} rows")
        return
    for index, row in enumerate(rows):
        where = f"{place}[{index}]"
        if not row.size:
            yield Problem(place=f"{where}.size", cause="a row of no ids")
        elif max(row.container_id, row.host_id) + row.size > _ID_LIMIT:
            yield Problem(place=where, cause=f"goes beyond the last id, {_ID_LIMIT - 1}")
        elif any(_overlap(row, other) for other in rows[:index]):
            yield Problem(place=where, cause="overlaps with a row before it")


def _overlap(row: LinuxIDMapping, other: LinuxIDMapping) -> bool:
    inside = (row.container_id, other.container_id)
    outside = (row.host_id, other.host_id)
    return any(
        first < second + other.size and second < first + row.size
        for first, second in (inside, outside)
    )


def check_time_namespace(case: Case) -> Iterator[Problem]:
    """Yield offsets without a new time namespace, of unknown clocks, or out of range."""
    offsets = case.config.linux.time_offsets
    if not offsets:
        return
    if not case.has("time"):
        yield _needs("$.linux.timeOffsets", "time")
    elif case.joins("time"):
        yield Problem(
            place="$.linux.timeOffsets",
            cause="the time namespace to join has offsets of its own",
            remedy="leave out either the path or the offsets",
        )
    for clock, offset in offsets.items():
        place = f"$.linux.timeOffsets.{clock}"
        if clock not in TIME_CLOCKS:
            yield Problem(place=place, cause="no such clock", remedy=f"one of {TIME_CLOCKS}")
        if offset.nanosecs >= _NANOSECONDS:
            yield Problem(place=f"{place}.nanosecs", cause="is a second or more")


def check_net_devices(case: Case) -> Iterator[Problem]:
    """Yield interfaces that cannot be moved. Source: netdevice(7), dev_valid_name in net/core."""
    devices = case.config.linux.net_devices
    if not devices:
        return
    if not case.has("network"):
        yield _needs("$.linux.netDevices", "network")
    elif case.joins_own_network:
        yield Problem(
            place="$.linux.netDevices",
            cause="the network namespace to join is the one that the devices are in",
            remedy="join another one",
        )
    for name, device in devices.items():
        for text in {name, device.name or name}:
            if not is_interface_name(text):
                yield Problem(
                    place=f"$.linux.netDevices.{name}",
                    cause=f"invalid network device name {text!r}",
                )


def is_interface_name(name: str) -> bool:
    """Return whether a network interface can have this name."""
    if not name or name in {".", ".."} or len(name.encode()) > _MAX_INTERFACE:
        return False
    return not any(character in "/:" or character.isspace() for character in name)


def _needs(place: str, kind: str) -> Problem:
    return Problem(
        place=place,
        cause=f"would apply to the runtime's own {kind} namespace",
        remedy=f"add {{'type': '{kind}'}} to linux.namespaces",
    )
