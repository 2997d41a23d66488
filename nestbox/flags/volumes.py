"""``-v``, ``--mount`` and ``--tmpfs``, as docker writes them. Pure: text in, values out.

What an option means, and where nothing may be mounted, is for nestbox.policy to say.
"""

from __future__ import annotations

from typing import Final

from nestbox.errors import UsageError
from nestbox.flags.rootfs import absolute
from nestbox.policy.request import MountRequest

_VOLUME_FORM: Final = "write -v SOURCE:TARGET[:OPTIONS], as in -v ./data:/data:ro"
_MOUNT_FORM: Final = "write --mount type=bind,source=/src,target=/dst[,readonly] or type=tmpfs,…"
_SOURCE_KEYS: Final = frozenset({"source", "src"})
_TARGET_KEYS: Final = frozenset({"target", "dst", "destination"})
_TRUE: Final = frozenset({"", "true", "1"})
_FALSE: Final = frozenset({"false", "0"})
# Keys that switch a mount option on, and off with =false.
_SWITCHES: Final = {
    "readonly": ("ro", "rw"),
    "ro": ("ro", "rw"),
    "rw": ("rw", "ro"),
    "bind-nonrecursive": ("bind", "rbind"),
}
_RECURSIVE: Final = {
    # Source: docker's --mount, "bind-recursive".
    "enabled": ("rbind",),
    "disabled": ("bind",),
    "writable": ("rbind",),
    "readonly": ("rbind", "rro"),
}


def parse_volume(text: str, directory: str) -> MountRequest:
    """Return the mount of ``-v SOURCE:TARGET[:OPTIONS]``, or of ``-v TARGET``.

    Without a source it is a new directory that ends with the container. A source that begins
    with ``./`` or ``../`` is relative to ``directory``.

    Raises:
        UsageError: it has not this form.
    """
    asked_by = f"-v {text}"
    parts = text.split(":")
    if len(parts) == 1 and text:
        return MountRequest(
            type="volume", source="", target=text, options=(), asked_by=asked_by, must_exist=False
        )
    if len(parts) > 3 or not all(parts):
        cause = "a part is empty" if not all(parts) else "it has more than three parts"
        raise UsageError(asked_by, cause=cause, remedy=_VOLUME_FORM)
    source, target, *rest = parts
    return MountRequest(
        type="bind",
        source=_source(source, directory),
        target=target,
        options=tuple(rest[0].split(",")) if rest else (),
        asked_by=asked_by,
        must_exist=False,
    )


def parse_tmpfs(text: str) -> MountRequest:
    """Return the mount of ``--tmpfs TARGET[:OPTIONS]``.

    Raises:
        UsageError: it names no target, or the options are empty.
    """
    target, separator, options = text.partition(":")
    if not target or (separator and not options):
        raise UsageError(
            f"--tmpfs {text}",
            cause="a part is empty",
            remedy="write --tmpfs TARGET[:OPTIONS], as in --tmpfs /cache:size=64m",
        )
    return MountRequest(
        type="tmpfs",
        source="",
        target=target,
        options=tuple(options.split(",")) if options else (),
        asked_by=f"--tmpfs {text}",
        must_exist=False,
    )


def parse_mount(text: str, directory: str) -> MountRequest:
    """Return the mount of ``--mount KEY=VALUE,…``; a source in it must exist.

    Raises:
        UsageError: a key is unknown or missing, or a value is none of the key.
    """
    asked_by = f"--mount {text}"
    pairs = [_pair(field, asked_by) for field in _fields(text)]
    kind = _one(pairs, frozenset({"type"}), asked_by)
    if kind not in {"bind", "tmpfs", "volume"}:
        raise UsageError(
            asked_by,
            cause=_type_problem(kind),
            remedy=_MOUNT_FORM,
        )
    target = _one(pairs, _TARGET_KEYS, asked_by)
    source = _one(pairs, _SOURCE_KEYS, asked_by)
    _check_ends(kind, source, target, asked_by)
    rest = [pair for pair in pairs if pair[0] not in {"type"} | _SOURCE_KEYS | _TARGET_KEYS]
    options = [option for key, value in rest for option in _options(kind, key, value, asked_by)]
    return MountRequest(
        type=kind,
        source=_source(source, directory) if kind == "bind" else "",
        target=target,
        options=tuple(options),
        asked_by=asked_by,
        must_exist=kind == "bind",
    )


def _source(source: str, directory: str) -> str:
    """Return a path for what is one; a bare word stays what it is, the name of a volume."""
    relative = source in {".", ".."} or source.startswith(("./", "../"))
    return absolute(source, directory) if relative else source


def _type_problem(kind: str) -> str:
    if not kind:
        return "it has no type"
    if kind in {"image", "cluster", "npipe", "devpts", "glob"}:
        return f"nestbox has no mounts of type {kind} yet"
    return f"{kind!r} is no type of a mount"


def _check_ends(kind: str, source: str, target: str, asked_by: str) -> None:
    if not target:
        raise UsageError(asked_by, cause="it has no target", remedy=_MOUNT_FORM)
    if kind == "bind" and not source:
        raise UsageError(asked_by, cause="it has no source", remedy=_MOUNT_FORM)
    if kind == "volume" and source:
        raise UsageError(
            asked_by,
            cause="nestbox keeps no named volumes",
            remedy="leave source out for a new directory, or use type=bind with the path of one",
        )
    if kind == "tmpfs" and source:
        raise UsageError(
            asked_by, cause="a tmpfs is new and empty, it has no source", remedy="leave source out"
        )


def _fields(text: str) -> list[str]:
    """Return the fields between commas; one in double quotes can have a comma in it."""
    if '"' not in text:
        return text.split(",")
    from csv import Error, reader

    try:
        return next(iter(reader([text], strict=True)), [])
    except Error as error:
        raise UsageError(
            f"--mount {text}",
            cause=f"its quotes do not match: {error}",
            remedy='quote a whole field, as in type=bind,"source=/a,b",target=/c',
        ) from None


def _pair(field: str, asked_by: str) -> tuple[str, str]:
    key, _, value = field.partition("=")
    if not key.strip():
        raise UsageError(asked_by, cause="a field is empty", remedy=_MOUNT_FORM)
    return key.strip().lower(), value


def _one(pairs: list[tuple[str, str]], keys: frozenset[str], asked_by: str) -> str:
    """Return the value of a key that has several names; empty when it is not there."""
    values = [value for key, value in pairs if key in keys]
    if len(values) > 1:
        raise UsageError(
            asked_by,
            cause=f"{' or '.join(sorted(keys))} is given {len(values)} times",
            remedy="give it once",
        )
    return values[0] if values else ""


def _options(kind: str, key: str, value: str, asked_by: str) -> tuple[str, ...]:
    """Return the mount options that a field stands for: the field itself, if it is a bare word."""
    if key in _SWITCHES:
        return (_switched(key, value, asked_by),)
    if key == "consistency":  # of another system; docker ignores it on Linux as well
        return ()
    meant = _by_type(kind, key, value, asked_by)
    if meant:
        return meant
    if value or "-" in key:
        raise UsageError(asked_by, cause=_field_problem(kind, key, value), remedy=_MOUNT_FORM)
    return (key,)


def _by_type(kind: str, key: str, value: str, asked_by: str) -> tuple[str, ...]:
    """Return what a key means that only one type of mount has."""
    if kind == "tmpfs" and key in {"tmpfs-size", "tmpfs-mode"}:
        return (_tmpfs_option(key, value, asked_by),)
    if kind == "bind" and key == "bind-propagation" and value:
        return (value,)
    if kind == "bind" and key == "bind-recursive":
        return _RECURSIVE.get(value, ())
    return ()


def _switched(key: str, value: str, asked_by: str) -> str:
    """Return the option that a switch stands for: its own, or with =false the opposite."""
    on, off = _SWITCHES[key]
    if value.lower() in _TRUE:
        return on
    if value.lower() in _FALSE:
        return off
    raise UsageError(
        asked_by,
        cause=f"{value!r} is no value for {key}",
        remedy=f"write {key}, or {key}=false",
    )


def _tmpfs_option(key: str, value: str, asked_by: str) -> str:
    if key == "tmpfs-mode":
        return f"mode={value}"
    from nestbox.flags.sizes import parse_size

    return f"size={parse_size(value, f'{asked_by}: tmpfs-size')}"


def _field_problem(kind: str, key: str, value: str) -> str:
    if key == "bind-recursive":
        return f"{value!r} is no value for bind-recursive"
    known = (
        *_SWITCHES, *_SOURCE_KEYS, *_TARGET_KEYS, "type", "bind-propagation", "bind-recursive",
        "tmpfs-size", "tmpfs-mode",
    )  # fmt: skip
    if key in known:
        return f"a mount of type {kind} has no {key}"
    from difflib import get_close_matches

    close = get_close_matches(key, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"{key!r} is no key of a mount{hint}"
