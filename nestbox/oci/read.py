"""Text to values: ``config.json``, a process of ``exec`` and the resources of ``update``.

A plain document is decoded in one pass. One that does not fit, or whose keys may be spelt in
another case, is read once more in the way of Go's encoding/json: null is absent, and ``pagesize``
is ``pageSize``. So documents that runc takes are taken here. Types are checked on the way,
everything else by ``nestbox.oci.validate``.

Source: runtime-spec 1.3, schema/config-schema.json.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NoReturn, TypeVar

import msgspec

from nestbox.errors import ConfigError
from nestbox.oci.config import Config
from nestbox.oci.decoding import located
from nestbox.oci.process import Process
from nestbox.oci.resources import LinuxResources
from nestbox.oci.spelling import has_other_spelling, specified

MAX_BYTES: Final = 32 << 20  # a large configuration is 100 KiB; a list of 100,000 mounts is 20 MiB

Document = TypeVar("Document", Config, Process, LinuxResources)


def parse_config(data: bytes, *, source: str) -> Config:
    """Return the configuration in the text of a ``config.json``.

    Args:
        data: the file's content.
        source: its name, for errors.

    Raises:
        ConfigError: too large, not JSON, not UTF-8, or a field has a value of another type; it
            names the field.
    """
    return _parse(data, Config, source)


def parse_process(data: bytes, *, source: str) -> Process:
    """Return the process in the text of a file for ``exec --process``.

    Raises:
        ConfigError: as ``parse_config``.
    """
    return _parse(data, Process, source)


def parse_resources(data: bytes, *, source: str) -> LinuxResources:
    """Return the limits in the text of a file for ``update --resources``.

    Raises:
        ConfigError: as ``parse_config``.
    """
    return _parse(data, LinuxResources, source)


@cache
def _decoder(kind: type[Document]) -> msgspec.json.Decoder[Document]:
    """Return the decoder for a kind of document; to make one takes a millisecond."""
    return msgspec.json.Decoder(kind)


def _parse(data: bytes, kind: type[Document], source: str) -> Document:
    if len(data) > MAX_BYTES:
        _refuse(source, "$", f"larger than {MAX_BYTES >> 20} MiB", "name a configuration file")
    if not data.strip():
        _refuse(source, "$", "the file is empty", "write one with `nestbox-runtime spec`")
    if not data.isascii():
        _check_utf8(data, source)
    found = _plainly(data, kind, source) or _as_go_reads(data, kind, source)
    if b"\\u0000" in data:
        _check_nul(msgspec.json.decode(data), "$", source)
    return found


def _plainly(data: bytes, kind: type[Document], source: str) -> Document | None:
    """Return the document when its keys and values are as specified."""
    if has_other_spelling(data):
        return None
    try:
        found: Document = _decoder(kind).decode(data)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse_text(source, data, error)
    return found


def _check_utf8(data: bytes, source: str) -> None:
    """Refuse bytes that are no text, also where the decoder passes over them."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _refuse(source, "$", f"line {line} is not UTF-8", "save the file as UTF-8")


def _as_go_reads(data: bytes, kind: type[Document], source: str) -> Document:
    """Return the document as Go's decoder would, or refuse it."""
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse_text(source, data, error)
    try:
        return msgspec.convert(specified(plain), kind)
    except msgspec.ValidationError as error:
        _refuse_shape(source, str(error))


def _refuse_shape(source: str, message: str) -> NoReturn:
    """Raise for what msgspec says of a value of the wrong type."""
    cause, _, place = message.partition(" - at ")
    remedy = "see the runtime specification, config.md"
    if "missing required field" in cause:
        field = cause.split("`")[1]
        cause = f"`{field}` must be there"
        remedy = f"set `{field}`"
    _refuse(source, place.strip("`") or "$", cause[:1].lower() + cause[1:], remedy)


def _check_nul(value: object, place: str, source: str) -> None:
    """Refuse NUL, at which the kernel would end a name that goes on."""
    if isinstance(value, dict):
        for key, item in value.items():
            if "\0" in key:
                _refuse_nul(source, place)
            _check_nul(item, f"{place}.{key}", source)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_nul(item, f"{place}[{index}]", source)
    elif isinstance(value, str) and "\0" in value:
        _refuse_nul(source, place)


def _refuse_nul(source: str, place: str) -> NoReturn:
    _refuse(source, place, "has a NUL character (null byte)", "take it out")


def _refuse_text(source: str, data: bytes, error: Exception) -> NoReturn:
    _refuse(source, "$", f"not valid JSON ({located(data, str(error))})", "correct the file")


def _refuse(source: str, place: str, cause: str, remedy: str) -> NoReturn:
    raise ConfigError(
        f"cannot use the configuration {source!r}", cause=f"{place}: {cause}", remedy=remedy
    )
