"""``--security-opt``, as docker and podman write it. Pure: text in, value out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from nestbox.errors import UsageError
from nestbox.flags.rootfs import absolute
from nestbox.policy.request import SecurityOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TRUE: Final = frozenset({"", "true", "1"})
_FALSE: Final = frozenset({"false", "0"})
# Filters that come with nestbox; builtin is docker's word for its own.
_FILTERS: Final = {
    "unconfined": "unconfined",
    "default": "default",
    "strict": "strict",
    "builtin": "default",
}


def parse_security_options(texts: Iterable[str], directory: str) -> SecurityOptions:
    """Return all ``--security-opt`` together; a relative file begins at ``directory``.

    Each is ``KEY=VALUE``, ``KEY:VALUE``, or ``KEY`` for a switch.

    Raises:
        UsageError: a key is unknown, a value is none of it, or two contradict each other.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, value = _split(text)
        for field, setting in _settings(key, value, text, directory).items():
            _merge(values, field, setting, text)
    return SecurityOptions(**values)


def _split(text: str) -> tuple[str, str]:
    """Return key and value, parted at the first ``=`` or ``:``."""
    places = [place for place in (text.find("="), text.find(":")) if place >= 0]
    if not places:
        return text.strip().lower(), ""
    place = min(places)
    return text[:place].strip().lower(), text[place + 1 :]


def _merge(values: dict[str, Any], field: str, setting: Any, text: str) -> None:
    """Add one setting: lists grow, and of anything else there is only one."""
    if isinstance(setting, tuple):
        values[field] = (*values.get(field, ()), *setting)
    elif values.setdefault(field, setting) != setting:
        raise _bad(text, "another --security-opt says the opposite", "give one of the two")


def _settings(key: str, value: str, text: str, directory: str) -> dict[str, Any]:
    """Return the fields of SecurityOptions that one option sets."""
    if key == "seccomp":
        return {key: _FILTERS.get(value) or absolute(_needed(value, text), directory)}
    reader = _READERS.get(key)
    if reader is None:
        raise _unknown(key, text)
    return reader(value, text)


def _label(value: str, text: str) -> dict[str, Any]:
    """Return nothing for ``disable``, which holds anyhow: nestbox sets no SELinux label."""
    if value != "disable":
        raise _bad(
            text,
            "nestbox sets no SELinux labels yet",
            "use label=disable, or leave it out to keep the present label",
        )
    return {}


def _unmask(value: str, text: str) -> dict[str, Any]:
    return {"unmask": ("ALL",) if value.upper() == "ALL" else _paths(value, text)}


def _system_paths(value: str, text: str) -> dict[str, Any]:
    if value != "unconfined":
        raise _bad(text, f"{value!r} is no value for systempaths", "use unconfined")
    return {"unmask": ("ALL",)}


def _paths(value: str, text: str) -> tuple[str, ...]:
    """Return the absolute paths between colons."""
    paths = tuple(value.split(":"))
    for path in paths:
        if not path.startswith("/"):
            raise _bad(
                text, f"{path!r} is no absolute path", "write paths as in mask=/proc/acpi:/sys/dev"
            )
    return paths


def _switch(value: str, text: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise _bad(text, f"{value!r} is neither true nor false", "write true or false behind the =")


def _needed(value: str, text: str) -> str:
    if not value:
        raise _bad(text, "it has no value", f"write {text.rstrip('=:')}=VALUE")
    return value


_READERS: Final[dict[str, Callable[[str, str], dict[str, Any]]]] = {
    "apparmor": lambda value, text: {"apparmor": _needed(value, text)},
    "label": _label,
    "no-new-privileges": lambda value, text: {"no_new_privileges": _switch(value, text)},
    "mask": lambda value, text: {"mask": _paths(value, text)},
    "unmask": _unmask,
    "systempaths": _system_paths,
    "writable-cgroups": lambda value, text: {"writable_cgroups": _switch(value, text)},
}


def _unknown(key: str, text: str) -> UsageError:
    from difflib import get_close_matches

    known = ("seccomp", *_READERS)
    close = get_close_matches(key, known, n=1)
    return _bad(
        text,
        f"there is no security option {key!r}",
        f"did you mean {close[0]}?" if close else f"use one of {' '.join(known)}",
    )


def _bad(text: str, cause: str, remedy: str) -> UsageError:
    return UsageError(f"--security-opt {text}", cause=cause, remedy=remedy)
