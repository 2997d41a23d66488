"""Documents as Go's encoding/json takes them: keys in any case, and null for what is absent.

Engines are written in Go, and so is the runtime that their documents are tested with: what it
takes must not be read as something else, or as nothing, here.

Source: the documentation of Go's encoding/json, ``Unmarshal``.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from nestbox.oci import config, hooks, linux, mounts, process, resources, seccomp

_MODULES: Final = (config, hooks, linux, mounts, process, resources, seccomp)

# Objects whose keys mean something only to who wrote them: null is no absent field there.
_MAPS: Final = frozenset({"annotations", "netDevices", "rdma", "sysctl", "timeOffsets", "unified"})


@cache
def _spellings() -> dict[bytes, str]:
    """Return every key of the specification, by its letters in lower case."""
    values = [value for module in _MODULES for value in vars(module).values()]
    keys = {key for value in values for key in getattr(value, "__struct_encode_fields__", ())}
    return {key.lower().encode(): key for key in keys}


@cache
def _keys() -> frozenset[bytes]:
    return frozenset(key.encode() for key in _spellings().values())


def has_other_spelling(data: bytes) -> bool:
    """Return whether a word of the document is a key in other letters; a value may be one too.

    What stands between quotes is compared with all keys at once, which takes a tenth of the time
    that looking at each key would.
    """
    words = {*data.split(b'"')} - _keys()
    return not _spellings().keys().isdisjoint(map(bytes.lower, words))


def specified(value: Any) -> Any:
    """Return plain values with their keys spelt as specified, and without what is absent."""
    if isinstance(value, list):
        return [specified(item) for item in value]
    if not isinstance(value, dict):
        return value
    spellings = _spellings()
    found = {}
    for word, item in value.items():
        key = spellings.get(word.lower().encode(), word)
        if item is None or (key == "seccomp" and _is_no_filter(item)):
            continue
        found[key] = _map(item) if key in _MAPS else specified(item)
    return found


def _map(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: specified(item) for key, item in value.items()}


def _is_no_filter(value: object) -> bool:
    """Return whether a ``seccomp`` asks for nothing, as older engines write it."""
    if not isinstance(value, dict):
        return False
    return not value.get("defaultAction") and not value.get("syscalls")
