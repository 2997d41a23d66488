"""The keys of a profile as one table, from which the JSON Schema, the check and the form derive.

A profile file is a *document*: plain mappings, lists and scalars. `problems` says what is wrong
with one, `normal` turns a right one into the form that ``Profile`` is decoded from.

This module imports profile_kinds and the standard library alone: the build compiles the shipped
profiles with it where nothing else is installed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nestbox.policy.profile_kinds import (
    POLICY,
    Choice,
    Either,
    Flag,
    Keys,
    Kind,
    ListOf,
    Number,
    Path,
    Problem,
    Size,
    Text,
    Word,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
_CAPABILITY_PATTERN = r"^[A-Za-z0-9_]{1,40}\??$"
_PATH_PATTERN = r"^/[^\x00-\x1f\x7f]*$"
_SYSCTL_PATTERN = r"^[A-Za-z0-9_-]{1,64}[./][A-Za-z0-9_./:-]{1,190}$"
_LINE_PATTERN = r"^[^\x00-\x1f\x7f]+$"
_RLIMIT_PATTERN = r"^([0-9]{1,19}|unlimited)(:([0-9]{1,19}|unlimited))?$"


class Capabilities:
    """``{grant: ALL | [NAME, …], policy: …, ambient: …}``."""

    def __init__(self) -> None:
        name = Text(_CAPABILITY_PATTERN, "a capability name")
        self.keys = Keys(
            {
                "grant": Either(name, is_first=str, other=ListOf(name)),
                "policy": POLICY,
                "ambient": Flag(),
            },
            required=("grant",),
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self.keys.schema()

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the mapping; whether names are known is checked elsewhere."""
        yield from self.keys.problems(value, path)

    def normal(self, value: Any) -> Any:
        """Return the mapping with ``grant`` as a list."""
        form = self.keys.normal(value)
        if isinstance(form["grant"], str):
            form["grant"] = [form["grant"]]
        return form


class Limits:
    """``{memory: 512m, cpus: 1.5, pids: 256, policy: …}``; what is absent is unlimited."""

    def __init__(self) -> None:
        # Linux gives pids up to 2**22; a cpu quota is at least 1 ms in a period of 100 ms.
        self.keys = Keys(
            {
                "memory": Size(),
                "cpus": Number(0.01, 1 << 16, fractions=True),
                "pids": Number(1, 1 << 22),
                "policy": POLICY,
            }
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self.keys.schema()

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the mapping."""
        yield from self.keys.problems(value, path)

    def normal(self, value: Any) -> Any:
        """Return the mapping with ``memory_bytes``."""
        form = self.keys.normal(value)
        if "memory" in form:
            form["memory_bytes"] = form.pop("memory")
        return form


class Rlimits:
    """``{nofile: 1024:4096, core: 0}``: names of getrlimit(2) in lower case, without RLIMIT_."""

    # Source: include/uapi/asm-generic/resource.h.
    NAMES = (
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
        "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
    )  # fmt: skip

    def __init__(self) -> None:
        value = Either(
            Number(0, (1 << 63) - 1),
            is_first=int,
            other=Text(_RLIMIT_PATTERN, "a limit such as 1024, 1024:4096 or unlimited"),
        )
        self.keys = Keys(dict.fromkeys(self.NAMES, value))

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self.keys.schema()

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the mapping."""
        yield from self.keys.problems(value, path)

    def normal(self, value: Any) -> Any:
        """Return pairs of the kernel's name and ``SOFT[:HARD]``."""
        return [[f"RLIMIT_{key.upper()}", str(item)] for key, item in value.items()]


class Sysctls:
    """``{net.ipv4.ip_unprivileged_port_start: 0}``: kernel parameters by their names."""

    def __init__(self) -> None:
        self.value = Either(
            Number(-(1 << 63), (1 << 63) - 1),
            is_first=int,
            other=Text(_LINE_PATTERN, "a number or one line of text"),
        )

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {
            "type": "object",
            "propertyNames": {"pattern": _SYSCTL_PATTERN},
            "additionalProperties": self.value.schema(),
        }

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield the problems of the mapping; whether a name exists is the kernel's to say."""
        if not isinstance(value, dict):
            yield Problem(path, "a mapping of names to values is wanted")
            return
        for key, item in value.items():
            if not isinstance(key, str) or not re.fullmatch(_SYSCTL_PATTERN[1:-1], key, re.ASCII):
                yield Problem(
                    (*path, key), "a name such as net.core.somaxconn is wanted", at_key=True
                )
            else:
                yield from self.value.problems(item, (*path, key))

    def normal(self, value: Any) -> Any:
        """Return pairs of names and values, all of them texts."""
        return [[key, str(item)] for key, item in value.items()]


class Score:
    """``keep``, or a number from -1000 to 1000."""

    def __init__(self) -> None:
        self.value = Either(Number(-1000, 1000), is_first=int, other=Word("keep"))

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return self.value.schema()

    def problems(self, value: object, path: Path) -> Iterator[Problem]:
        """Yield a problem unless it is one of them."""
        yield from self.value.problems(value, path)

    def normal(self, value: Any) -> Any:
        """Return the number, None for ``keep``."""
        return None if value == "keep" else value


_PATHS = ListOf(Text(_PATH_PATTERN, "an absolute path"))


class Row(NamedTuple):
    """One key of a profile."""

    kind: Kind
    about: str  # for the schema and the reference


TABLE: dict[str, Row] = {
    "name": Row(
        Text(NAME_PATTERN, "a name of lower-case letters, digits and _.-"),
        "What --profile calls it; the name of its file without .yaml.",
    ),
    "description": Row(
        Text(r"^[^\x00-\x1f\x7f]*$", "one line of text"), "For whom the profile is, in one line."
    ),
    "extends": Row(
        Text(r"^[^\x00-\x1f\x7f]+$", "the name or path of a profile"),
        "A profile whose keys hold where this one has none; itself without extends.",
    ),
    "capabilities": Row(Capabilities(), "Names, or ALL for everything that can be granted."),
    "user_namespace": Row(
        Choice("host", "auto", "keep-id"), "auto makes a new one, keep-id one with your own ids."
    ),
    "seccomp": Row(Choice("default", "strict", "unconfined"), "The filter of system calls."),
    "lsm": Row(Choice("keep", "unconfined"), "The label of AppArmor or SELinux."),
    "devices": Row(Choice("default", "all"), "Which nodes /dev has and which can be opened."),
    "network": Row(
        Choice("none", "host", "private"),
        "none is a namespace of its own with loopback, private one with a way out.",
    ),
    "proc": Row(Choice("fresh", "bind"), "How /proc is mounted."),
    "sys": Row(Choice("ro", "rw"), "How /sys is mounted."),
    "cgroup": Row(
        Choice("ro", "rw", "none", also_called="mount"), "How the cgroup file system is mounted."
    ),
    "root": Row(
        Choice("rw", "ro"),
        "ro never changes the root that was given; with --rootfs host writes are thrown away.",
    ),
    "masked_paths": Row(_PATHS, "Paths that are hidden."),
    "readonly_paths": Row(_PATHS, "Paths that are read-only."),
    "no_new_privs": Row(Flag(), "Whether set-id bits and file capabilities are void (prctl(2))."),
    "limits": Row(Limits(), "What the cgroup enforces; what is absent is unlimited."),
    "rlimits": Row(Rlimits(), "Limits of getrlimit(2), each as SOFT or SOFT:HARD."),
    "oom_score_adj": Row(
        Score(), "How soon it is killed when memory is short: -1000 never, 1000 first; or keep."
    ),
    "sysctls": Row(Sysctls(), "Kernel parameters of the container's own namespaces, by name."),
}

_DOCUMENT = Keys({key: row.kind for key, row in TABLE.items()}, required=("name",))

# Keys that say something about the file, so that no other profile passes them on.
_OF_THE_FILE = ("name", "description", "extends")


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a profile document."""
    described = _DOCUMENT.schema()
    for key, row in TABLE.items():
        described["properties"][key] = {"description": row.about, **row.kind.schema()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nestbox profile",
        "description": "Keys that are absent are as in the profile default.",
        **described,
    }


def problems(document: object) -> list[Problem]:
    """Return everything that is wrong with a document; names of capabilities are not looked at."""
    return list(_DOCUMENT.problems(document, ()))


def missing_keys(document: Mapping[str, Any]) -> list[str]:
    """Return the keys of a profile that the document leaves open; `default` must leave none."""
    return [key for key in TABLE if key not in document and key != "extends"]


def normal(document: Mapping[str, Any], base: Mapping[str, Any] | None, source: str) -> Any:
    """Return a right document in the form that ``Profile`` is decoded from.

    ``base`` is such a form, whose keys hold, each as a whole, where the document has none.
    """
    inherited = base or {}
    form = {key: value for key, value in inherited.items() if key not in _OF_THE_FILE}
    own = _DOCUMENT.normal(document)
    own.pop("extends", None)
    return {**form, "description": "", **own, "source": source}
