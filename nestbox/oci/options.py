"""The mount-option table: what each word in ``-v``, ``--mount`` and ``mounts[].options`` means.

One table; this parser of the command line, ``mount_options`` for a config.json, the suggestions
for misspelt words and ``features`` are derived from it.
Attributes belong to one mount and are those of mount_setattr(2); flags belong to the file system
behind it and are passed to fsconfig(2) by name. Values only.

Source: mount(8), mount_setattr(2), runtime-spec 1.3 config.md "Linux mount options".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from nestbox.errors import UsageError


class Service(StrEnum):
    """Options that ask nestbox for something, where all others ask the kernel."""

    RELABEL_SHARED = "z"  # an SELinux label that containers share
    RELABEL_PRIVATE = "Z"
    CHOWN = "U"  # the source gets the owner of the container's process
    COPY_UP = "tmpcopyup"  # a tmpfs begins with what was at its target
    ID_MAP = "idmap"
    RECURSIVE_ID_MAP = "ridmap"


class Option(NamedTuple):
    """What one word does; empty fields are left as they are."""

    set: tuple[str, ...] = ()  # mount attributes
    cleared: tuple[str, ...] = ()
    recursive_attributes: bool = False  # they are for the mounts below as well
    propagation: str = ""  # private, slave, shared, unbindable
    recursive_propagation: bool = False
    bind: bool = False
    recursive_bind: bool = False
    flag: str = ""  # of the file system
    remount: bool = False
    service: Service | None = None
    only_flags: bool = False  # of docker and podman; in a config.json it is the file system's own


_ATTRIBUTES: Final = (
    # what sets it, what clears it, the attribute
    ("ro", "rw", "ro"),
    ("nosuid", "suid", "nosuid"),
    ("nodev", "dev", "nodev"),
    ("noexec", "exec", "noexec"),
    ("nodiratime", "diratime", "nodiratime"),
    ("nosymfollow", "symfollow", "nosymfollow"),
)

# Exactly one of these is in force for a mount, so that each replaces the others.
_TIMES: Final = ("relatime", "noatime", "strictatime")

_FLAGS: Final = (
    "sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "iversion",
    "noiversion", "silent", "loud",
)  # fmt: skip
# Of ext4 and others: mount(2) has no bit for them, so that they are data.
_FLAGS_AS_DATA: Final = ("acl", "noacl")

# Words of other systems and of older engines that mean nothing for a mount here.
_IGNORED: Final = ("consistent", "cached", "delegated", "nocopy", "volume-nocopy")
_ENGINE_SERVICES: Final = frozenset(
    {Service.RELABEL_SHARED, Service.RELABEL_PRIVATE, Service.CHOWN}
)


def _attribute_rows() -> dict[str, Option]:
    rows: dict[str, Option] = {}
    for setting, clearing, attribute in _ATTRIBUTES:
        for prefix, recursive in (("", False), ("r", True)):
            rows[prefix + setting] = Option(set=(attribute,), recursive_attributes=recursive)
            rows[prefix + clearing] = Option(cleared=(attribute,), recursive_attributes=recursive)
    for time in _TIMES:
        rows[time] = Option(set=(time,))
        rows["r" + time] = Option(set=(time,), recursive_attributes=True)
    # To ask for none of the three means the kernel's own default, which is relatime.
    for word in ("atime", "norelatime", "nostrictatime"):
        rows[word] = Option(set=("relatime",))
        rows["r" + word] = rows[word]._replace(recursive_attributes=True)
    return rows


def _propagation_rows() -> dict[str, Option]:
    rows: dict[str, Option] = {}
    for name in ("private", "slave", "shared", "unbindable"):
        rows[name] = Option(propagation=name)
        rows["r" + name] = Option(propagation=name, recursive_propagation=True)
    return rows


TABLE: Final[dict[str, Option]] = {
    **_attribute_rows(),
    **_propagation_rows(),
    "bind": Option(bind=True),
    "rbind": Option(bind=True, recursive_bind=True),
    "remount": Option(remount=True),
    **{flag: Option(flag=flag) for flag in _FLAGS},
    **{flag: Option(flag=flag, only_flags=True) for flag in _FLAGS_AS_DATA},
    **{
        service.value: Option(service=service, only_flags=service in _ENGINE_SERVICES)
        for service in Service
    },
    "defaults": Option(),
    **dict.fromkeys(_IGNORED, Option(only_flags=True)),
}

# Options of a tmpfs that take a value. Source: tmpfs(5).
_TMPFS_KEYS: Final = ("size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "huge", "mpol")


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one mount, sorted by whom they are for; the last word of two wins."""

    set: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    recursive_attributes: bool = False
    propagation: str = ""
    recursive_propagation: bool = False
    bind: bool = False
    recursive_bind: bool | None = None  # None: neither bind nor rbind was given
    flags: tuple[str, ...] = ()
    data: tuple[tuple[str, str], ...] = ()  # of the file system, ("size", "64m")
    services: tuple[Service, ...] = ()

    def asks(self, word: str) -> bool:
        """Whether the attribute was named, to be set or to be cleared."""
        return word in self.set or word in self.cleared


def known_options() -> tuple[str, ...]:
    """Return every word that a config.json may use, sorted, as ``features`` lists them."""
    return tuple(sorted(word for word, row in TABLE.items() if not row.only_flags))


def parse_options(texts: tuple[str, ...], *, fstype: str, asked_by: str) -> MountOptions:
    """Return what the words mean for a mount of this type (``bind``, ``tmpfs``).

    Raises:
        UsageError: a word is in no table, or is not one for this type of mount.
    """
    options = MountOptions()
    for text in texts:
        row = TABLE.get(text)
        if row and row.remount:
            raise UsageError(
                f"option {text!r} of {asked_by}",
                cause="it changes a mount that is there, and this one is new",
                remedy="leave it out",
            )
        if row is None:
            options = _with_data(options, _data(text, fstype=fstype, asked_by=asked_by))
        else:
            options = _with_row(options, row)
    if fstype == "bind" and options.flags:
        raise UsageError(
            f"option {options.flags[0]!r} of {asked_by}",
            cause="it belongs to a file system, and a bind mounts one that is in use already",
            remedy="leave it out",
        )
    return options


def _with_row(options: MountOptions, row: Option) -> MountOptions:
    """Return the options with one word more; it takes back earlier ones that it contradicts."""
    gone = {*row.set, *row.cleared}
    if gone & {*_TIMES}:
        gone |= {*_TIMES}
    return MountOptions(
        set=(*(name for name in options.set if name not in gone), *row.set),
        cleared=(*(name for name in options.cleared if name not in gone), *row.cleared),
        recursive_attributes=options.recursive_attributes or row.recursive_attributes,
        propagation=row.propagation or options.propagation,
        recursive_propagation=(
            row.recursive_propagation if row.propagation else options.recursive_propagation
        ),
        bind=options.bind or row.bind,
        recursive_bind=row.recursive_bind if row.bind else options.recursive_bind,
        flags=(*options.flags, row.flag) if row.flag else options.flags,
        data=options.data,
        services=(*options.services, row.service) if row.service else options.services,
    )


def _with_data(options: MountOptions, pair: tuple[str, str]) -> MountOptions:
    others = tuple(other for other in options.data if other[0] != pair[0])
    return msgspec.structs.replace(options, data=(*others, pair))


def _data(text: str, *, fstype: str, asked_by: str) -> tuple[str, str]:
    """Return the option as key and value, when the file system takes it."""
    key, separator, value = text.partition("=")
    if fstype == "tmpfs" and key in _TMPFS_KEYS and separator and value:
        _check_tmpfs_value(key, value, asked_by)
        return key, value
    known = (*TABLE, *_TMPFS_KEYS) if fstype == "tmpfs" else tuple(TABLE)
    if key in _TMPFS_KEYS:
        cause = "it needs a value" if fstype == "tmpfs" else "it belongs to a tmpfs"
        raise UsageError(
            f"option {text!r} of {asked_by}",
            cause=cause,
            remedy=f"write {key}=VALUE" if fstype == "tmpfs" else "use --tmpfs, or leave it out",
        )
    raise UsageError(
        f"option {text!r} of {asked_by}",
        cause=f"a {fstype} mount has no such option",
        remedy=_suggestion(key, known),
    )


def _check_tmpfs_value(key: str, value: str, asked_by: str) -> None:
    """Refuse a value that the kernel would refuse with a bare "invalid argument"."""
    digits = value
    if key == "size":
        digits = value[:-1] if value[-1] in "kKmMgG%" else value
    elif key in {"nr_blocks", "nr_inodes"}:
        digits = value[:-1] if value[-1] in "kKmMgG" else value
    elif key == "mode":
        digits = value.translate({ord(digit): None for digit in "89"})
        digits = digits if digits == value else ""
    elif key in {"huge", "mpol"}:
        return
    if not (digits.isascii() and digits.isdigit()):
        raise UsageError(
            f"option '{key}={value}' of {asked_by}",
            cause=f"{value!r} is no value for {key}",
            remedy="use a number, for a size with k, m or g behind it, for a mode in octal",
        )


def _suggestion(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # 2 ms, and only for an error

    close = get_close_matches(word.lower(), known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "leave it out; man 8 mount lists the options"
