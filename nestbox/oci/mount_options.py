"""The options of a mount in a config.json: what the words of the table ask for.

A word that the table does not have belongs to the file system, and is never an error here.

Source: runtime-spec 1.3, config.md "Linux mount options"; mount_setattr(2).
"""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.oci.options import TABLE, Option, Service

# Values of one field, MOUNT_ATTR__ATIME: each takes the others' place.
_TIMES: Final = frozenset({"relatime", "noatime", "strictatime"})


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes of mount_setattr(2) by name; the last word about one wins."""

    set: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.set or self.cleared)


class ConfigMountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one mount, sorted by whom they are for."""

    attributes: Attributes = Attributes()  # of this mount
    recursive: Attributes = Attributes()  # of this one and those below it
    propagations: tuple[tuple[str, bool], ...] = ()  # (slave, recursively), to be set in order
    bind: bool = False
    recursive_bind: bool = False
    remount: bool = False
    flags: tuple[str, ...] = ()  # of the file system, independent of its type, such as sync
    copy_up: bool = False  # a tmpfs begins with what was at its target
    id_mapped: bool = False
    recursive_id_map: bool = False
    data: tuple[str, ...] = ()  # the file system's own options, such as size=64m

    @property
    def readonly(self) -> bool:
        """Whether the mount is to be read-only."""
        return "ro" in self.attributes.set or "ro" in self.recursive.set


# A flag and the word that takes it back.
_OPPOSITES: Final = {
    "sync": "async",
    "lazytime": "nolazytime",
    "mand": "nomand",
    "iversion": "noiversion",
    "silent": "loud",
}
_CONTRADICTS: Final = {**_OPPOSITES, **{taker: flag for flag, taker in _OPPOSITES.items()}}


def read_options(words: tuple[str, ...]) -> ConfigMountOptions:
    """Return what ``mounts[].options`` asks for; the last of two that contradict wins."""
    own, recursive = _AttributeReader(), _AttributeReader()
    flags: dict[str, None] = {}
    propagations: list[tuple[str, bool]] = []
    services: set[Service] = set()
    data: list[str] = []
    bind: Option | None = None
    remount = False
    for word in words:
        row = TABLE.get(word)
        if row is None or row.only_flags:
            data.append(word)
            continue
        (recursive if row.recursive_attributes else own).read(row)
        if row.propagation:
            propagations.append((row.propagation, row.recursive_propagation))
        if row.flag:
            flags.pop(_CONTRADICTS.get(row.flag, ""), None)
            flags[row.flag] = None
        if row.service:
            services.add(row.service)
        bind = row if row.bind else bind
        remount = remount or row.remount
    return ConfigMountOptions(
        attributes=own.value(),
        recursive=recursive.value(),
        propagations=tuple(propagations),
        bind=bind is not None,
        recursive_bind=bind is not None and bind.recursive_bind,
        remount=remount,
        flags=tuple(flags),
        copy_up=Service.COPY_UP in services,
        id_mapped=bool(services & {Service.ID_MAP, Service.RECURSIVE_ID_MAP}),
        recursive_id_map=Service.RECURSIVE_ID_MAP in services,
        data=tuple(data),
    )


class _AttributeReader:
    """Attributes as they are read, word by word."""

    def __init__(self) -> None:
        self._set: dict[str, None] = {}
        self._cleared: dict[str, None] = {}

    def read(self, row: Option) -> None:
        gone = {*row.set, *row.cleared}
        if gone & _TIMES:
            gone |= _TIMES
        for name in gone:
            self._set.pop(name, None)
            self._cleared.pop(name, None)
        self._set.update(dict.fromkeys(row.set))
        self._cleared.update(dict.fromkeys(row.cleared))

    def value(self) -> Attributes:
        return Attributes(set=tuple(self._set), cleared=tuple(self._cleared))
