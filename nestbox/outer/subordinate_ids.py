"""The subordinate ids of our user: what the files and the name service say, with what is wrong.

The files are the administrator's, and still only text: a line that newuidmap(1) would pass over is
passed over here, and told. Source: subuid(5), subgid(5), getsubids(1).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

import msgspec

from nestbox.kernel import procfs, reading
from nestbox.outer.facts import SubordinateIds

UID_FILE: Final = "/etc/subuid"
GID_FILE: Final = "/etc/subgid"
NSSWITCH: Final = "/etc/nsswitch.conf"
_ID_LIMIT: Final = (1 << 32) - 1  # ids are below; the last is (uid_t)-1
_SECONDS: Final = 2  # for a name service; the launch goes on without it


class Ranges(msgspec.Struct, frozen=True):
    """Ranges that belong to our user, in the order of their source, and what is to be told."""

    ranges: tuple[SubordinateIds, ...] = ()
    notes: tuple[str, ...] = ()  # why there are none, or fewer than one may think
    shared: tuple[str, ...] = ()  # that somebody else has ids of ours too


def parse_ranges(text: bytes, owners: frozenset[str], place: str) -> Ranges:
    """Return the ranges of a file that belong to any of these names or numbers.

    Ranges of ours that overlap or touch become one. Lines without the form ``owner:first:count``,
    and those whose ids do not exist, are passed over and noted.
    """
    own: list[SubordinateIds] = []
    others: list[tuple[str, SubordinateIds]] = []
    bad = []
    for number, line in enumerate(procfs.decode(text).split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        owner, found = _parse_line(line)
        if found is None:
            bad.append(number)
        elif owner in owners:
            own.append(found)
        else:
            others.append((owner, found))
    notes = (_bad_lines(place, bad),) if bad else ()
    taken = (owner for owner, other in others if any(_meet(other, one) for one in own))
    shared = tuple(f"{place} gives ids of ours to {_plain(owner)} too" for owner in taken)
    return Ranges(_merged(own), notes, shared[:1])


def _parse_line(line: str) -> tuple[str, SubordinateIds | None]:
    owner, *numbers = line.strip().split(":")
    if not owner or len(numbers) != 2 or not all(map(_is_number, numbers)):
        return owner, None
    first, count = map(int, numbers)
    if count == 0 or first + count > _ID_LIMIT:
        return owner, None
    return owner, SubordinateIds(first=first, count=count)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _bad_lines(place: str, numbers: list[int]) -> str:
    more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
    return f"line {numbers[0]}{more} of {place} is no range of ids, as owner:first:count"


def _plain(owner: str) -> str:
    return owner[:32] if owner.isprintable() else ascii(owner[:32])


def _meet(one: SubordinateIds, other: SubordinateIds) -> bool:
    return one.first < other.first + other.count and other.first < one.first + one.count


def _merged(ranges: list[SubordinateIds]) -> tuple[SubordinateIds, ...]:
    """Return the ranges without overlap, the lowest first."""
    merged: list[SubordinateIds] = []
    for one in sorted(ranges, key=lambda each: each.first):
        last = merged[-1] if merged else None
        if last is not None and one.first <= last.first + last.count:
            end = max(last.first + last.count, one.first + one.count)
            merged[-1] = SubordinateIds(first=last.first, count=end - last.first)
        else:
            merged.append(one)
    return tuple(merged)


def read_ranges(path: str, owners: frozenset[str]) -> Ranges:
    """Return our ranges of a file; one that cannot be read has none, and a note says why."""
    try:
        return parse_ranges(_read_regular(path), owners, path)
    except FileNotFoundError:
        return Ranges()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Ranges(notes=(f"{path} cannot be read: {reason}",))


def _read_regular(path: str) -> bytes:
    """Return a file whole. It may be a link; anything but a regular file is not read."""
    # Not blocking: a FIFO would otherwise hold the launch until somebody writes to it.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return reading.read_descriptor(fd)
    finally:
        os.close(fd)


def uses_name_service(path: str = NSSWITCH) -> bool:
    """Return whether libsubid asks a name service in place of the files. Source: subuid(5)."""
    try:
        text = procfs.decode(_read_regular(path))
    except OSError:
        return False
    rows = (line.partition("#")[0].partition(":") for line in text.splitlines())
    services = [value.split() for name, _, value in rows if name.strip() == "subid"]
    return bool(services) and services[-1][:1] not in ([], ["files"])


def ask_name_service(program: str, user: str, *, groups: bool) -> Ranges:
    """Return what getsubids(1) says of a user, within a time limit."""
    import subprocess

    words = [program, *(["-g"] if groups else []), user]
    try:
        done = subprocess.run(
            words,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Ranges(notes=(f"{program} did not answer within {_SECONDS} seconds",))
    except OSError as error:
        return Ranges(notes=(f"{program} cannot be run: {(error.strerror or '').lower()}",))
    return parse_answer(done.stdout, program)


def parse_answer(text: bytes, place: str) -> Ranges:
    """Return the ranges in the output of getsubids(1): lines as ``0: alice 100000 65536``."""
    rows = []
    for line in procfs.decode(text).splitlines():
        words = line.split()
        if len(words) == 4 and words[0].endswith(":"):
            rows.append(":".join(words[1:]))
    owners = frozenset(row.partition(":")[0] for row in rows)
    return parse_ranges("\n".join(rows).encode(errors="surrogateescape"), owners, place)
