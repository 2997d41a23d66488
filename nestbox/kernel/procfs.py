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


_ESCAPE = re.compile(rb"\\([0-7]{3})")
_STATUS_ESCAPE = re.compile(rb"\\(n|\\)")
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{1,16}")
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_OCTAL = re.compile(rb"[0-7]{1,6}")
_DEVICE = re.compile(r"[0-9]+:[0-9]+")


def decode(text: bytes) -> str:
    """Return the text as str; bytes that are not UTF-8 become surrogates, as in os.fsdecode."""
    return text.decode("utf-8", "surrogateescape")


def unescape(text: bytes) -> bytes:
    r"""Return a field of mountinfo without its octal escapes (``\040`` is a space)."""
    if b"\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), text)


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


def _number(text: bytes, name: bytes, pattern: re.Pattern[bytes], base: int) -> int | None:
    """Return a number of a status file, None without the field."""
    value = _field(text, name)
    if value is None:
        return None
    if pattern.fullmatch(value) is None:
        raise MalformedText(f"{name.decode()} is {decode(value)!r}, not a number")
    return int(value, base)


def _required(value: int | None, name: str) -> int:
    """Return the value of a field that every kernel has."""
    if value is None:
        raise MalformedText(f"{name} is missing")
    return value


def _mask(text: bytes, name: bytes) -> int:
    """Return one of the five capability sets of a status file."""
    return _required(_number(text, name, _HEXADECIMAL, 16), name.decode())


def parse_status(text: bytes) -> Status:
    """Return the fields of a status file. Raises MalformedText."""
    if not text.startswith(b"Name:\t") or not text.endswith(b"\n"):
        raise MalformedText("it does not begin with Name, or it is cut off")
    name = text[len(b"Name:\t") : text.index(b"\n")]
    no_new_privs = _number(text, b"NoNewPrivs", _DECIMAL, 10)
    if no_new_privs is not None and no_new_privs > 1:
        raise MalformedText(f"NoNewPrivs is {no_new_privs}, neither 0 nor 1")
    return Status(
        name=decode(_STATUS_ESCAPE.sub(lambda m: b"\n" if m[1] == b"n" else b"\\", name)),
        umask=_number(text, b"Umask", _OCTAL, 8),
        ppid=_required(_number(text, b"PPid", _DECIMAL, 10), "PPid"),
        inheritable=_mask(text, b"CapInh"),
        permitted=_mask(text, b"CapPrm"),
        effective=_mask(text, b"CapEff"),
        bounding=_mask(text, b"CapBnd"),
        ambient=_mask(text, b"CapAmb"),
        no_new_privs=None if no_new_privs is None else no_new_privs == 1,
        seccomp=_number(text, b"Seccomp", _DECIMAL, 10),
        seccomp_filters=_number(text, b"Seccomp_filters", _DECIMAL, 10),
    )


def parse_number(text: bytes) -> int:
    """Return the one decimal number that a file holds. Raises MalformedText."""
    value = text.strip()
    if _DECIMAL.fullmatch(value) is None:
        raise MalformedText(f"it holds {decode(text[:40])!r}, not a number")
    return int(value)


def _options(text: bytes) -> tuple[str, ...]:
    """Return comma-separated options, unescaped after they were split."""
    return tuple([decode(unescape(option)) for option in text.split(b",")])


def _parse_mount(line: bytes) -> MountLine:
    """Return one line of mountinfo as a value."""
    fields = line.split(b" ")
    try:
        dash = fields.index(b"-", 6)
        fstype, source, super_options = fields[dash + 1 : dash + 4]
        number, parent = int(fields[0]), int(fields[1])
    except ValueError as error:
        raise MalformedText(f"a line of mountinfo is {decode(line)!r}") from error
    device = decode(fields[2])
    if _DEVICE.fullmatch(device) is None:
        raise MalformedText(f"the device of a mount is {device!r}")
    return MountLine(
        id=number,
        parent=parent,
        device=device,
        root=decode(unescape(fields[3])),
        target=decode(unescape(fields[4])),
        options=_options(fields[5]),
        propagation=tuple([decode(field) for field in fields[6:dash]]),
        fstype=decode(unescape(fstype)),
        source=decode(unescape(source)),
        super_options=_options(super_options),
    )


def parse_mountinfo(text: bytes) -> tuple[MountLine, ...]:
    """Return the mounts in the order of the file. Raises MalformedText."""
    if text and not text.endswith(b"\n"):
        raise MalformedText("its last line is cut off")
    return tuple([_parse_mount(line) for line in text.split(b"\n") if line])


def parse_cgroup(text: bytes) -> tuple[CgroupLine, ...]:
    """Return the lines of a cgroup file. Raises MalformedText."""
    lines = []
    for line in text.split(b"\n"):
        if not line:
            continue
        number, _, rest = line.partition(b":")
        controllers, separator, path = rest.partition(b":")
        if _DECIMAL.fullmatch(number) is None or not separator or not path.startswith(b"/"):
            raise MalformedText(f"a line is {decode(line)!r}")
        names = tuple([decode(name) for name in controllers.split(b",") if name])
        lines.append(CgroupLine(id=int(number), controllers=names, path=decode(path)))
    return tuple(lines)


def parse_id_map(text: bytes) -> tuple[IdMapLine, ...]:
    """Return the rows of uid_map or gid_map, none when nothing is mapped. Raises MalformedText."""
    rows = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) != 3 or not all(_DECIMAL.fullmatch(field) for field in fields):
            raise MalformedText(f"a line is {decode(line)!r}")
        inside, outside, count = (int(field) for field in fields)
        rows.append(IdMapLine(inside=inside, outside=outside, count=count))
    return tuple(rows)
