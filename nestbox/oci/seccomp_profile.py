"""JSON seccomp profiles as engines share them: text to values.

A profile is ``linux.seccomp`` plus conditions: rules that apply only with some capabilities, on
some architectures or from some kernel on. A plain ``linux.seccomp`` is a profile without
conditions, so one reader serves both. Choosing the rules that apply is ``policy.seccomp``.

Source: the profile format of moby (profiles, seccomp) and podman (common, pkg/seccomp).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NoReturn

import msgspec

from nestbox.errors import ProfileError
from nestbox.oci.decoding import located
from nestbox.oci.seccomp import (
    Errno,
    LinuxSeccomp,
    LinuxSeccompArg,
    LinuxSyscall,
    SeccompAction,
    SeccompArchitecture,
    SeccompFlag,
    SeccompOperator,
    find_problems,
)

MAX_PROFILE_BYTES: Final = 1 << 20  # a profile is 30 KiB; more is another kind of file

# Conditions of a profile name an architecture in the manner of Go where that differs.
_GO_NAMES: Final = {
    "amd64": SeccompArchitecture.X86_64,
    "386": SeccompArchitecture.X86,
    "arm64": SeccompArchitecture.AARCH64,
    "loong64": SeccompArchitecture.LOONGARCH64,
    "mipsle": SeccompArchitecture.MIPSEL,
    "mips64le": SeccompArchitecture.MIPSEL64,
    "mips64p32": SeccompArchitecture.MIPS64N32,
    "mips64p32le": SeccompArchitecture.MIPSEL64N32,
    "mips3l64n32": SeccompArchitecture.MIPSEL64N32,
}
CONDITION_ARCHITECTURES: Final[dict[str, SeccompArchitecture]] = {
    **{architecture.library_name: architecture for architecture in SeccompArchitecture},
    **_GO_NAMES,
}


class SeccompCondition(msgspec.Struct, frozen=True, kw_only=True):
    """When a rule applies; an empty one says nothing."""

    capabilities: tuple[str, ...] = ()
    architectures: tuple[SeccompArchitecture, ...] = ()
    kernel: tuple[int, int] | None = None  # this version and later ones


class SeccompRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule with the conditions under which it is part of the filter."""

    syscall: LinuxSyscall
    includes: SeccompCondition = SeccompCondition()
    excludes: SeccompCondition = SeccompCondition()


class SeccompProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as read: a filter whose rules and architectures still depend on the container."""

    source: str  # the file's path, for messages and the record
    base: LinuxSeccomp  # everything but the rules
    architecture_map: dict[SeccompArchitecture, tuple[SeccompArchitecture, ...]]
    rules: tuple[SeccompRule, ...]


class _WireArchitecture(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    architecture: SeccompArchitecture
    sub_architectures: tuple[SeccompArchitecture, ...] | None = None


class _WireCondition(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    caps: tuple[str, ...] | None = None
    arches: tuple[str, ...] | None = None
    min_kernel: str | None = None


class _WireArg(LinuxSeccompArg, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _WireRule(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    action: SeccompAction
    name: str | None = None
    names: tuple[str, ...] | None = None
    errno_ret: Errno | None = None
    errno: str | None = None
    args: tuple[_WireArg, ...] | None = None
    includes: _WireCondition | None = None
    excludes: _WireCondition | None = None
    comment: str | None = None


class _WireProfile(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    default_action: SeccompAction
    default_errno_ret: Errno | None = None
    default_errno: str | None = None
    arch_map: tuple[_WireArchitecture, ...] | None = None
    architectures: tuple[SeccompArchitecture, ...] | None = None
    flags: tuple[SeccompFlag, ...] | None = None
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: tuple[_WireRule, ...] | None = None
    comment: str | None = None


_NO_CONDITION: Final = SeccompCondition()
_VOCABULARIES: Final[dict[str, type[StrEnum]]] = {
    "action": SeccompAction,
    "defaultAction": SeccompAction,
    "op": SeccompOperator,
    "flags": SeccompFlag,
    "architecture": SeccompArchitecture,
    "architectures": SeccompArchitecture,
    "subArchitectures": SeccompArchitecture,
}


def parse_profile(data: bytes, *, source: str) -> SeccompProfile:
    """Return the profile in the text of a JSON file.

    Args:
        data: a shared profile or a plain ``linux.seccomp``.
        source: the file's path, for errors.

    Raises:
        ProfileError: too large, not JSON, of another shape, or contradicting itself; it names the
            file and the place in it.
    """
    reader = _Reader(source)
    wire = reader.decode(data)
    if wire.arch_map and wire.architectures:
        reader.refuse("$", "has both `archMap` and `architectures`", "keep one of the two")
    seccomp = LinuxSeccomp(
        default_action=wire.default_action,
        default_errno_ret=reader.errno("$", wire.default_errno, wire.default_errno_ret),
        architectures=wire.architectures or (),
        flags=wire.flags,
        listener_path=wire.listener_path or None,
        listener_metadata=wire.listener_metadata or None,
    )
    rules = tuple(reader.rule(i, rule) for i, rule in enumerate(wire.syscalls or ()))
    for problem in find_problems(seccomp, (rule.syscall for rule in rules)):
        reader.refuse(problem.place, problem.cause, problem.remedy)
    return SeccompProfile(
        source=source,
        base=seccomp,
        architecture_map={
            entry.architecture: entry.sub_architectures or () for entry in wire.arch_map or ()
        },
        rules=rules,
    )


class _Reader:
    """Turns the wire form of one file into values, and knows its name for errors."""

    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, place: str, cause: str, remedy: str) -> NoReturn:
        raise ProfileError(
            f"cannot use the seccomp profile {self.source!r}",
            cause=f"{place}: {cause}" if place else cause,
            remedy=remedy,
        )

    def decode(self, data: bytes) -> _WireProfile:
        if len(data) > MAX_PROFILE_BYTES:
            self.refuse("", f"larger than {MAX_PROFILE_BYTES} bytes", "name a seccomp JSON file")
        if not data.strip():
            self.refuse("", "the file is empty", "seccomp=unconfined asks for no filter")
        try:
            return msgspec.json.decode(data, type=_WireProfile)
        except msgspec.ValidationError as error:
            self._refuse_shape(str(error))
        except (ValueError, RecursionError) as error:
            # msgspec.DecodeError is a ValueError, and so is text that is not UTF-8.
            self.refuse("", f"not valid JSON ({located(data, str(error))})", "correct the file")

    def rule(self, i: int, rule: _WireRule) -> SeccompRule:
        place = f"$.syscalls[{i}]"
        if rule.name and rule.names:
            self.refuse(place, "has both `name` and `names`", "keep `names`")
        names = (rule.name,) if rule.name else rule.names or ()
        if not all(names) or not names:
            self.refuse(f"{place}.names", "names no syscall", "name at least one")
        return SeccompRule(
            syscall=LinuxSyscall(
                names=names,
                action=rule.action,
                errno_ret=self.errno(place, rule.errno, rule.errno_ret),
                args=rule.args or (),
            ),
            includes=self._condition(f"{place}.includes", rule.includes),
            excludes=self._condition(f"{place}.excludes", rule.excludes),
        )

    def errno(self, place: str, name: str | None, code: int | None) -> int | None:
        """Return the errno; podman's profiles name it, and the name wins."""
        if not name:
            return code
        known = {text: number for number, text in errno.errorcode.items()}
        if name not in known:
            self.refuse(place, f"unknown errno {name!r}", _did_you_mean(name, known))
        return known[name]

    def _condition(self, place: str, wire: _WireCondition | None) -> SeccompCondition:
        if wire is None or not (wire.caps or wire.arches or wire.min_kernel):
            return _NO_CONDITION
        for name in wire.caps or ():
            if not name.startswith("CAP_") or name == "CAP_":
                # Would never match, and so would switch a rule on or off in silence.
                self.refuse(f"{place}.caps", f"no capability {name!r}", f"write CAP_{name}")
        for name in wire.arches or ():
            if name not in CONDITION_ARCHITECTURES:
                remedy = _did_you_mean(name, CONDITION_ARCHITECTURES)
                self.refuse(f"{place}.arches", f"unknown architecture {name!r}", remedy)
        return SeccompCondition(
            capabilities=wire.caps or (),
            architectures=tuple(CONDITION_ARCHITECTURES[name] for name in wire.arches or ()),
            kernel=self._kernel(place, wire.min_kernel) if wire.min_kernel else None,
        )

    def _kernel(self, place: str, text: str) -> tuple[int, int]:
        major, dot, minor = text.partition(".")
        if not (dot and _is_small_number(major) and _is_small_number(minor)):
            self.refuse(f"{place}.minKernel", f"no kernel version: {text!r}", 'write it as "4.8"')
        return int(major), int(minor)

    def _refuse_shape(self, message: str) -> NoReturn:
        """Raise for what msgspec says of a value of the wrong type or name."""
        cause, _, place = message.partition(" - at ")
        place = place.strip("`") or "$"
        quoted = cause.split("'")
        if cause.startswith("Invalid enum value") and len(quoted) > 2:
            words = _VOCABULARIES[_last_key(place)]
            word = "'".join(quoted[1:-1])
            self.refuse(place, f"unknown value {word!r}", _did_you_mean(word, words))
        if "unknown field" in cause:
            key = cause.split("`")[1]
            self.refuse(place, f"unknown key {key!r}", _did_you_mean(key, _keys(place)))
        self.refuse(place, cause[:1].lower() + cause[1:], "see runtime-spec, `linux.seccomp`")


def _keys(place: str) -> tuple[str, ...]:
    """Return the keys of the object at a JSON path of a profile."""
    shapes: dict[str, type[msgspec.Struct]] = {
        "syscalls": _WireRule,
        "args": _WireArg,
        "archMap": _WireArchitecture,
        "includes": _WireCondition,
        "excludes": _WireCondition,
    }
    return shapes.get(_last_key(place), _WireProfile).__struct_encode_fields__


def _last_key(place: str) -> str:
    """Return the last key of a JSON path, without an index."""
    return place.rpartition(".")[2].partition("[")[0]


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a remedy that names the nearest known word."""
    import difflib  # costs milliseconds that only an error pays

    words = sorted(str(name) for name in known)
    near = difflib.get_close_matches(word.upper() if words[0].isupper() else word, words, n=1)
    return f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(words)}"


def _is_small_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 3
