"""Parsers of the text files of /proc, pure: bytes as they were read in, values out.

Numbers and names come back as they stand in the file. Paths are decoded with surrogateescape, so
that any name a file system allows survives. Text that does not have the documented form raises
``MalformedText``, which says what was wrong; nothing is guessed or filled in.
"""

from __future__ import annotations

import re

import msgspec


class MalformedText(ValueError):
    """A file of the kernel does not have its documented form."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of /proc/PID/status that nestbox uses. Source: proc_pid_status(5).

    Those that a kernel may lack are None: Umask (Linux 4.7), NoNewPrivs (4.10), Seccomp (3.8, and
    only with CONFIG_SECCOMP), Seccomp_filters (5.9).
    """

    name: str
    umask: int | None
    ppid: int
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privs: bool | None
    seccomp: int | None
    seccomp_filters: int | None


class MountLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of mountinfo. Source: proc_pid_mountinfo(5)."""

    id: int
    parent: int
    device: str
    root: str
    target: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


class CgroupLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of /proc/PID/cgroup; version 2 has the id 0 and no controllers.

    Source: cgroups(7).
    """

    id: int
    controllers: tuple[str, ...]
    path: str


class IdMapLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of uid_map or gid_map. Source: user_namespaces(7)."""

    inside: int
    outside: int
    count: int


# Regular expressions are compiled when first needed: most texts have no escapes, and compiling all
# of them would cost a launch more than parsing does.
_ESCAPE = rb"\\([0-7]{3})"
_STATUS_ESCAPE = rb"\\(n|\\)"

_DIGITS = {8: b"01234567", 10: b"0123456789", 16: b"0123456789abcdefABCDEF"}
_LONGEST = 20  # digits of a 64-bit number


def decode(text: bytes) -> str:
    """Return the text as str; bytes that are not UTF-8 become surrogates, as in os.fsdecode."""
    return text.decode("utf-8", "surrogateescape")


def unescape(text: str) -> str:
    r"""Return a field of mountinfo without its octal escapes (``\040`` is a space)."""
    if "\\" not in text:
        return text
    plain = re.sub(_ESCAPE, lambda match: bytes([int(match[1], 8) & 0xFF]), encode(text))
    return decode(plain)


def encode(text: str) -> bytes:
    """Return the bytes that decode() made the text from."""
    return text.encode("utf-8", "surrogateescape")


def _is_number(text: bytes, base: int = 10) -> bool:
    """Return whether the text is digits of the base and nothing else, no sign and no prefix."""
    return 0 < len(text) <= _LONGEST and not text.strip(_DIGITS[base])


def _field(text: bytes, name: bytes) -> bytes | None:
    """Return the value of a field of a status file, None without it."""
    start = text.find(b"\n" + name + b":\t")
    if start < 0:
        return None
    start += len(name) + 3
    end = text.find(b"\n", start)
    if end < 0:
        raise MalformedText(f"the line of {name.decode()} is cut off")
    return text[start:end]


def _number(text: bytes, name: bytes, base: int = 10) -> int | None:
    """Return a number of a status file, None without the field."""
    value = _field(text, name)
    if value is None:
        return None
    if not _is_number(value, base):
        raise MalformedText(f"{name.decode()} is {decode(value)!r}, not a number")
    return int(value, base)


def _required(value: int | None, name: str) -> int:
    """Return the value of a field that every kernel has."""
    if value is None:
        raise MalformedText(f"{name} is missing")
    return value


def _mask(text: bytes, name: bytes) -> int:
    """Return one of the five capability sets of a status file."""
    mask = _required(_number(text, name, 16), name.decode())
    if mask >> 64:
        raise MalformedText(f"{name.decode()} is {mask:x}, more than 64 bits")
    return mask


def parse_status(text: bytes) -> Status:
    """Return the fields of a status file. Raises MalformedText."""
    if not text.startswith(b"Name:\t") or not text.endswith(b"\n"):
        raise MalformedText("it does not begin with Name, or it is cut off")
    name = text[len(b"Name:\t") : text.index(b"\n")]
    if b"\\" in name:
        name = re.sub(_STATUS_ESCAPE, lambda m: b"\n" if m[1] == b"n" else b"\\", name)
    no_new_privs = _number(text, b"NoNewPrivs")
    if no_new_privs is not None and no_new_privs > 1:
        raise MalformedText(f"NoNewPrivs is {no_new_privs}, neither 0 nor 1")
    return Status(
        name=decode(name),
        umask=_number(text, b"Umask", 8),
        ppid=_required(_number(text, b"PPid"), "PPid"),
        inheritable=_mask(text, b"CapInh"),
        permitted=_mask(text, b"CapPrm"),
        effective=_mask(text, b"CapEff"),
        bounding=_mask(text, b"CapBnd"),
        ambient=_mask(text, b"CapAmb"),
        no_new_privs=None if no_new_privs is None else no_new_privs == 1,
        seccomp=_number(text, b"Seccomp"),
        seccomp_filters=_number(text, b"Seccomp_filters"),
    )


def parse_ids(text: bytes, name: bytes) -> tuple[int, ...]:
    """Return the four ids of a line (``b"Uid"``, ``b"Gid"``) of a status file.

    They are the real, effective, saved and file system id. Raises MalformedText.
    """
    value = _field(text, name)
    words = value.split() if value is not None else []
    if len(words) != 4 or not all(_is_number(word) for word in words):
        raise MalformedText(f"{name.decode()} is not four ids")
    return tuple(int(word) for word in words)


def parse_limits(text: bytes) -> dict[str, tuple[str, str]]:
    """Return the soft and the hard limit by the name of each line of /proc/PID/limits.

    A name has single blanks in it and is set off by more, as the columns are.
    """
    found = {}
    for line in decode(text).splitlines()[1:]:
        columns = re.split(r"  +", line.strip())
        if len(columns) >= 3:
            found[columns[0]] = (columns[1], columns[2])
    return found


def parse_number(text: bytes) -> int:
    """Return the one decimal number that a file holds. Raises MalformedText."""
    value = text.strip()
    if not _is_number(value):
        raise MalformedText(f"it holds {decode(text[:40])!r}, not a number")
    return int(value)


def _options(text: str) -> tuple[str, ...]:
    """Return comma-separated options, unescaped after they were split."""
    options = text.split(",")
    return tuple([unescape(option) for option in options] if "\\" in text else options)


def _is_device(text: str) -> bool:
    """Return whether the text is ``major:minor``."""
    major, _, minor = text.partition(":")
    return text.isascii() and major.isdigit() and minor.isdigit()


def _parse_mount(line: str) -> MountLine:
    """Return one line of mountinfo as a value."""
    fields = line.split(" ")
    try:
        dash = fields.index("-", 6)
        fstype, source, super_options = fields[dash + 1 : dash + 4]
        number, parent = int(fields[0]), int(fields[1])
    except ValueError as error:
        raise MalformedText(f"a line of mountinfo is {line!r}") from error
    if not _is_device(fields[2]):
        raise MalformedText(f"the device of a mount is {fields[2]!r}")
    return MountLine(
        id=number,
        parent=parent,
        device=fields[2],
        root=unescape(fields[3]),
        target=unescape(fields[4]),
        options=_options(fields[5]),
        propagation=tuple(fields[6:dash]),
        fstype=unescape(fstype),
        source=unescape(source),
        super_options=_options(super_options),
    )


def parse_mountinfo(text: bytes) -> tuple[MountLine, ...]:
    """Return the mounts in the order of the file. Raises MalformedText."""
    if text and not text.endswith(b"\n"):
        raise MalformedText("its last line is cut off")
    return tuple([_parse_mount(line) for line in decode(text).split("\n") if line])


def parse_cgroup(text: bytes) -> tuple[CgroupLine, ...]:
    """Return the lines of a cgroup file. Raises MalformedText."""
    lines = []
    for line in text.split(b"\n"):
        if not line:
            continue
        number, _, rest = line.partition(b":")
        controllers, separator, path = rest.partition(b":")
        if not _is_number(number) or not separator or not path.startswith(b"/"):
            raise MalformedText(f"a line is {decode(line)!r}")
        names = tuple([decode(name) for name in controllers.split(b",") if name])
        lines.append(CgroupLine(id=int(number), controllers=names, path=decode(path)))
    return tuple(lines)


def parse_id_map(text: bytes) -> tuple[IdMapLine, ...]:
    """Return the rows of uid_map or gid_map, none when nothing is mapped. Raises MalformedText."""
    rows = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) != 3 or not all(map(_is_number, fields)):
            raise MalformedText(f"a line is {decode(line)!r}")
        inside, outside, count = (int(field) for field in fields)
        rows.append(IdMapLine(inside=inside, outside=outside, count=count))
    return tuple(rows)
