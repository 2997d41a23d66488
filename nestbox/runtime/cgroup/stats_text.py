"""The text of the kernel's accounting files as numbers. Pure; ValueError for what is malformed."""

from __future__ import annotations

from nestbox.runtime.cgroup.stats import BlkioEntry, Entries, Pressure, PressureLine

UNLIMITED = (1 << 64) - 1


def number(text: str) -> int:
    """Return a number; "max" is the greatest, and below 0, as some kernels say in error, is 0."""
    return UNLIMITED if text == "max" else max(int(text), 0)


def pairs(text: str) -> dict[str, int]:
    """Return lines of the form ``key number``, in the order of the keys."""
    found = {}
    for line in sorted(text.splitlines()):
        key, _, value = line.partition(" ")
        found[key] = number(value)
    return found


def numbers_in(text: str) -> tuple[int, ...]:
    """Return a list such as ``0-3,7`` in full."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        found += range(int(first), int(last) + 1) if dash else [int(first)]
    return tuple(found)


def pressure(text: str) -> Pressure:
    """Return what a file *.pressure says."""
    lines = {}
    for line in text.splitlines():
        kind, *fields = line.split()
        values = dict(field.split("=", 1) for field in fields)
        lines[kind] = PressureLine(
            avg10=float(values.get("avg10", 0)),
            avg60=float(values.get("avg60", 0)),
            avg300=float(values.get("avg300", 0)),
            total=int(values.get("total", 0)),
        )
    return Pressure(some=lines.get("some", PressureLine()), full=lines.get("full", PressureLine()))


def block_io_v1(text: str) -> Entries:
    """Return the entries of a file blkio.*: ``8:0 Read 124`` or ``8:0 124``, without the total."""
    found = []
    for line in text.splitlines():
        fields = line.replace(":", " ").split()
        if fields[0] == "Total" and len(fields) == 2:
            continue
        operation = fields[2] if len(fields) == 4 else ""
        found.append(
            BlkioEntry(
                major=int(fields[0]), minor=int(fields[1]), op=operation, value=int(fields[-1])
            )
        )
    return tuple(found)


# What io.stat calls the operations, and how version 1 called the table and the operation.
_IO_STAT = {
    "rbytes": ("bytes", "Read"),
    "wbytes": ("bytes", "Write"),
    "rios": ("count", "Read"),
    "wios": ("count", "Write"),
}


def block_io_v2(text: str) -> tuple[Entries, Entries]:
    """Return the bytes and the operations that io.stat shows, in the form of version 1."""
    tables: dict[str, list[BlkioEntry]] = {"bytes": [], "count": []}
    for line in text.splitlines():
        device, *items = line.split()
        major, colon, minor = device.partition(":")
        if not colon:
            continue
        for item in items:
            name, _, value = item.partition("=")
            if name in _IO_STAT:
                table, operation = _IO_STAT[name]
                tables[table].append(
                    BlkioEntry(major=int(major), minor=int(minor), op=operation, value=int(value))
                )
    return tuple(tables["bytes"]), tuple(tables["count"])


def page_sizes(names: list[str]) -> tuple[str, ...]:
    """Return sizes of huge pages as cgroups call them ("2MB"), of names ``hugepages-2048kB``."""
    found = []
    for name in sorted(names):
        kilobytes = int(name.removeprefix("hugepages-").removesuffix("kB"))
        if kilobytes >= 1 << 20:
            found.append(f"{kilobytes >> 20}GB")
        elif kilobytes >= 1 << 10:
            found.append(f"{kilobytes >> 10}MB")
        else:
            found.append(f"{kilobytes}KB")
    return tuple(found)
