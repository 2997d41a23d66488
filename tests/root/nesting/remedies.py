"""What somebody does who follows a remedy: changes of an environment's description, or of a flag.

Every remedy of the matrix is text that nestbox printed. The table below knows what each means; text
that it does not know is a remedy that cannot be followed by rote, and fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from tests.root.nesting.description import (
    SOMEBODY,
    Cgroup,
    Dev,
    Environment,
    Filter,
    Ids,
    Proc,
    Root,
    Sys,
)
from tests.root.nesting.requests import Ask


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One request in one environment."""

    described: Environment
    ask: Ask


Change = Callable[[Case], Case]


class UnknownRemedy(Exception):
    """A remedy has words that the table does not know."""


def changes_of(remedy: str) -> tuple[Change, ...]:
    """Return the changes that a remedy means, the first way where it tells several.

    Raises:
        UnknownRemedy: some of its words are not known.
    """
    rest, found = remedy, []
    for pattern, meaning in _TABLE:
        for match in re.finditer(pattern, rest):
            found += [one for one in meaning(match) if one not in found]
        rest = re.sub(pattern, "", rest)
    rest = re.sub(r"(^|; )([\w. /,-]+:)? *(?=;|$)", "", rest)
    if rest.strip(" ;"):
        raise UnknownRemedy(f"{rest!r} of {remedy!r}")
    if any(isinstance(one, _Grant) and one.ambient for one in found):
        # Who gives some to a user that is not root gives all of them so.
        found = [_Grant(x.name, ambient=True) if isinstance(x, _Grant) else x for x in found]
    return tuple(dict.fromkeys(found))


def follow(case: Case, changes: Iterable[Change]) -> Case:
    """Return the case after these changes."""
    for change in changes:
        case = change(case)
    return case


class _Set(msgspec.Struct, frozen=True):
    """Give fields of the description other values."""

    fields: tuple[tuple[str, object], ...]

    def __call__(self, case: Case) -> Case:
        return replace(case, described=replace(case.described, **dict(self.fields)))


class _Grant(msgspec.Struct, frozen=True):
    """Leave one more capability to the environment, and give it to a user who is not root too."""

    name: str
    ambient: bool = False

    def __call__(self, case: Case) -> Case:
        held = {self.name} if case.described.uid and self.ambient else set()
        described = replace(
            case.described,
            capabilities=case.described.capabilities | {self.name},
            ambient=case.described.ambient | held,
        )
        return replace(case, described=described)


class _Devices(msgspec.Struct, frozen=True):
    """Fill /dev."""

    def __call__(self, case: Case) -> Case:
        now = case.described
        root = Root.JAIL if now.root is Root.BARE_JAIL else now.root
        return replace(case, described=replace(now, dev=Dev.USUAL, root=root))


class _Mount(msgspec.Struct, frozen=True):
    """Mount a cgroup file system, and what it is mounted in."""

    def __call__(self, case: Case) -> Case:
        now = case.described
        described = replace(
            now,
            cgroup=Cgroup.OWN if now.cgroup is Cgroup.NONE else now.cgroup,
            sys=Sys.WRITABLE if now.sys is Sys.NONE else now.sys,
            root=Root.JAIL if now.root is Root.BARE_JAIL else now.root,
        )
        return replace(case, described=described)


class _Flags(msgspec.Struct, frozen=True):
    """Ask for something else: flags that go, and flags that come."""

    without: tuple[str, ...]
    also: tuple[str, ...] = ()

    def __call__(self, case: Case) -> Case:
        words = " ".join(case.ask.flags).replace(" ".join(self.without), "").split()
        return replace(case, ask=replace(case.ask, flags=(*words, *self.also)))


class _Overlay(msgspec.Struct, frozen=True):
    """Put a layer over the root."""

    def __call__(self, case: Case) -> Case:
        return replace(case, ask=replace(case.ask, rootfs=f"{case.ask.rootfs}:overlay"))


def _fields(**fields: object) -> Callable[[re.Match[str]], tuple[Change, ...]]:
    return lambda match: (_Set(tuple(fields.items())),)


def _grants(match: re.Match[str]) -> tuple[Change, ...]:
    return tuple(_Grant(name) for name in re.findall(r"(?:CAP_|--cap-add )(\w+)", match[0]))


def _permits(match: re.Match[str]) -> tuple[Change, ...]:
    names = dict.fromkeys(re.findall(r"CAP_(\w+)", match[0]))
    return tuple(_Grant(name, ambient=True) for name in names)


def _nothing(match: re.Match[str]) -> tuple[Change, ...]:
    return ()


_TABLE: Final[tuple[tuple[str, Callable[[re.Match[str]], tuple[Change, ...]]], ...]] = (
    # What may be done in place of it.
    (r"; or take what there is: (--cap-add \w+\? ?)+", _nothing),
    (
        r"give the outer environment the device; for docker, with --device /dev/fuse"
        r"(, and check the name)?",
        lambda match: (_Devices(),),
    ),
    (r"outside, run: mknod [^:]*(; mknod [^;]*)*", lambda match: (_Devices(),)),
    (
        r"make the cgroup file system writable outside; for docker, with --privileged, or with "
        r"--security-opt writable-cgroups=true",
        _fields(cgroup=Cgroup.OWN),
    ),
    (
        r"(run nestbox as root, or )?let the outer environment delegate the cgroup to uid "
        rf"{SOMEBODY}",
        _fields(cgroup=Cgroup.DELEGATED),
    ),
    (
        r"mount one outside, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        lambda match: (_Mount(),),
    ),
    (
        r"let the outer filter allow them; for docker, start the outer container with "
        r"--security-opt seccomp=unconfined",
        _fields(seccomp=Filter.NONE),
    ),
    (
        r"start the outer container with (--cap-add \w+ ?)+: the filters of docker and podman "
        r"allow them to a container that has it",
        _grants,
    ),
    (
        r"start the outer container with CAP_\w+(, CAP_\w+)*, and nestbox with "
        r"CAP_\w+(, CAP_\w+)* permitted: as root, or with ambient capabilities",
        _permits,
    ),
    (r"start the outer container with CAP_\w+(, CAP_\w+)*", _grants),
    (
        r"start nestbox with CAP_\w+(, CAP_\w+)* permitted: as root, or with ambient capabilities",
        _permits,
    ),
    (r"give the outer environment CAP_\w+( and CAP_\w+)*, or leave -u out", _grants),
    (
        r"as root outside, run: echo \d+:\d+:\d+ \| tee -a /etc/subuid /etc/subgid; or (?=give)",
        _nothing,
    ),
    (
        r"give the outer environment CAP_SETFCAP \(for docker, --cap-add SETFCAP\)"
        r"(, or run nestbox as another user)?",
        lambda match: (_Grant("SETFCAP"),),
    ),
    (
        r"as root outside, run: sysctl -w user\.max_user_namespaces=\d+",
        _fields(user_namespaces=True),
    ),
    (r"use --rootfs \S+:overlay", lambda match: (_Overlay(),)),
    (
        r"give the outer container an unmasked /proc; for docker, with --security-opt "
        r"systempaths=unconfined",
        _fields(proc=Proc.FRESH),
    ),
    (
        r"set it outside: sysctl -w \S+",
        lambda match: (_Flags(("--sysctl kernel.shmmax=65536",)),),
    ),
    (
        r"use --userns host, where CAP_\w+ has power",
        lambda match: (_Flags(("--userns auto",), ("--userns", "host")),),
    ),
    (
        r"choose an id (inside the map, or give --userns a map that has it|that the outer user "
        r"namespace has, or give that one more ids)",
        lambda match: (_Flags(("--user 1000",), ("--user", "0")),),
    ),
    (
        r"give the outer user namespace more ids",
        _fields(ids=Ids.EVERY_ID),
    ),
)
