"""A workload: what a program needs around it, in one mode or another. Values, and their reader.

Workloads are data (``shipped/*.yaml``, or a file of one's own): a new one needs no code. The
kinds of needs are closed: ``nestbox.doctor.workloads.needs`` has a judge for each.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

import msgspec

from nestbox.errors import ProfileError, UsageError, reason
from nestbox.kernel.capabilities import BY_NAME
from nestbox.policy.profile_yaml import MAX_BYTES, Document, read_document

_SHIPPED: Final = os.path.join(os.path.dirname(__file__), "shipped")
_SUFFIX: Final = ".yaml"
# The order of NEED_KINDS is that in which findings are shown.
NEED_KINDS: Final = (
    "user", "capability", "user-namespace", "namespaces", "calls", "mount", "proc", "writable",
    "cgroup", "root", "disk", "device", "program", "subordinate-ids", "sysctl", "kernel",
)  # fmt: skip


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is needed, and what for; with ``any_of`` one of several is enough."""

    kind: str  # of NEED_KINDS, or "any"
    value: str
    why: str
    any_of: tuple[Need, ...] = ()


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which the program can run, the better ones first."""

    name: str
    about: str
    needs: tuple[Need, ...]


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A program, or a kind of programs."""

    name: str
    about: str
    modes: tuple[Mode, ...]


def shipped_names() -> tuple[str, ...]:
    """Return the names of the workloads that come with nestbox, sorted."""
    return tuple(
        sorted(
            name.removesuffix(_SUFFIX) for name in os.listdir(_SHIPPED) if name.endswith(_SUFFIX)
        )
    )


def find_workload(name: str) -> Workload:
    """Return a shipped workload, or that of a file: what has a ``/`` or ends in ``.yaml``.

    Raises:
        UsageError: there is none of that name.
        ProfileError: the file cannot be read or is no workload.
    """
    if "/" in name or name.endswith(_SUFFIX):
        return read_workload(_bytes(name), name)
    names = shipped_names()
    if name not in names:
        from difflib import get_close_matches

        close = get_close_matches(name, names, n=1)
        raise UsageError(
            f"no workload {name[:80]!r}",
            cause=f"these are known: {', '.join(names)}",
            remedy=f"did you mean {close[0]}?" if close else "name one of them, or a file",
        )
    path = os.path.join(_SHIPPED, name + _SUFFIX)
    return read_workload(_bytes(path), path)


def _bytes(path: str) -> bytes:
    """Return the beginning of a file, one byte more than a workload may have."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise ProfileError(
            f"cannot read the workload {path!r}",
            cause=reason(error),
            remedy="name a shipped workload, or a file that can be read",
        ) from error
    try:
        return os.read(fd, MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(
            f"cannot read the workload {path!r}",
            cause=reason(error),
            remedy="name a file that can be read",
        ) from error
    finally:
        os.close(fd)


def read_workload(data: bytes, file: str) -> Workload:
    """Return the workload of a text. Raises ProfileError, with file, line and column."""
    document = read_document(data, file)
    reader = _Reader(document)
    whole = reader.mapping((), document.value, {"name", "about", "modes"})
    modes = reader.mapping(("modes",), whole.get("modes"), None)
    if not modes:
        raise reader.error(("modes",), "there is no mode in it")
    return Workload(
        name=reader.text(("name",), whole.get("name")),
        about=reader.text(("about",), whole.get("about")),
        modes=tuple(reader.mode(("modes", name), name, value) for name, value in modes.items()),
    )


_Path = tuple[str | int, ...]


class _Reader:
    """Turns plain values into a workload; every error says where it is."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def error(self, path: _Path, cause: str, *, at_key: bool = False) -> ProfileError:
        return ProfileError(
            f"cannot use the workload {self.document.file!r}",
            cause=f"{self.document.place(path, at_key=at_key)}: {cause}",
            remedy="see the shipped workloads: nestbox doctor --for NAME",
        )

    def mapping(self, path: _Path, value: Any, keys: set[str] | None) -> dict[str, Any]:
        """Return a mapping that has no other keys than these."""
        if not isinstance(value, dict):
            raise self.error(path, "a mapping is expected")
        for key in value:
            if keys is not None and key not in keys:
                from difflib import get_close_matches

                close = get_close_matches(str(key), sorted(keys), n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise self.error((*path, key), f"unknown key {str(key)!r}{hint}", at_key=True)
        return value

    def text(self, path: _Path, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(path, "a text is expected")
        return value

    def mode(self, path: _Path, name: str, value: Any) -> Mode:
        mode = self.mapping(path, value, {"about", "needs"})
        return Mode(
            name=str(name),
            about=self.text((*path, "about"), mode.get("about")),
            needs=self.needs((*path, "needs"), mode.get("needs")),
        )

    def needs(self, path: _Path, value: Any) -> tuple[Need, ...]:
        if not isinstance(value, list):
            raise self.error(path, "a list of needs is expected")
        return tuple(self.need((*path, number), one) for number, one in enumerate(value))

    def need(self, path: _Path, value: Any) -> Need:
        entry = self.mapping(path, value, {*NEED_KINDS, "any", "why"})
        kinds = [key for key in entry if key != "why"]
        if len(kinds) != 1:
            raise self.error(path, f"one need is expected, not {len(kinds)}")
        (kind,) = kinds
        why = self.text((*path, "why"), entry["why"]) if "why" in entry else ""
        if kind == "any":
            several = self.needs((*path, "any"), entry["any"])
            if not several:
                raise self.error((*path, "any"), "there is nothing in it")
            return Need(kind=kind, value="", why=why, any_of=several)
        value = self.text((*path, kind), str(entry[kind]))
        problem = _problem(kind, value)
        if problem:
            raise self.error((*path, kind), problem)
        return Need(kind=kind, value=value, why=why)


_PROGRAMS: Final = ("newuidmap", "newgidmap", "fuse-overlayfs", "pasta", "slirp4netns")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "user": ("root",),
    "mount": ("any",),
    "proc": ("fresh",),
    "root": ("overlay", "overlay-userns"),
    "program": _PROGRAMS,
    "capability": tuple(name.removeprefix("CAP_") for name in BY_NAME),
}
_FORMS: Final = {
    "subordinate-ids": (r"[1-9][0-9]{0,9}", "a number"),
    "kernel": (r"[0-9]{1,3}\.[0-9]{1,3}", "a version, as 5.12"),
    "sysctl": (r"[a-z0-9_.]+=[^\s]+", "NAME=VALUE"),
    "device": (r"/dev/[^\s]+", "a path below /dev"),
    "writable": (r"/[^\s]*", "an absolute path"),
    "disk": (r"/[^\s]*", "an absolute path"),
}


def _problem(kind: str, value: str) -> str:
    """Return what is wrong with the value of a need; empty when nothing is."""
    choices = _CHOICES.get(kind)
    if choices is not None and value.removeprefix("CAP_") not in choices:
        from difflib import get_close_matches

        close = get_close_matches(value, choices, n=1)
        hint = f"did you mean {close[0]}?" if close else f"one of {', '.join(choices[:6])}"
        return f"{value!r} is no {kind} that is known; {hint}"
    if kind in _FORMS:
        form, words = _FORMS[kind]
        if not re.fullmatch(form, value):
            return f"{words} is expected, not {value!r}"
    return ""
