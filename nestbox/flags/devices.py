"""``--device HOST[:CONTAINER][:rwm]``. Pure: text in, value out."""

from __future__ import annotations

import re
from typing import Final

from nestbox.errors import UsageError
from nestbox.policy.request import DeviceRequest

_ACCESS: Final = re.compile(r"[rwm]{1,3}")
_FORM: Final = "write --device HOST[:CONTAINER][:rwm], as in --device /dev/fuse"


def parse_device(text: str) -> DeviceRequest:
    """Return one device; its path in the container is that of the host unless it is given.

    Raises:
        UsageError: it has not this form, or the access is none.
    """
    asked_by = f"--device {text}"
    parts = text.split(":")
    if not all(parts) or len(parts) > 3:
        cause = "a part is empty" if not all(parts) else "it has more than three parts"
        raise UsageError(asked_by, cause=cause, remedy=_FORM)
    source, target, access = _parts(parts)
    if not source.startswith("/"):
        kind = (
            "the name of a CDI device, which nestbox does not know" if "=" in source else "no path"
        )
        raise UsageError(asked_by, cause=f"{source!r} is {kind}", remedy=_FORM)
    if _ACCESS.fullmatch(access) is None or len({*access}) != len(access):
        raise UsageError(
            asked_by,
            cause=f"{access!r} is no access",
            remedy="use letters of rwm: read, write, make nodes",
        )
    return DeviceRequest(source=source, target=target, access=access, asked_by=asked_by)


def _parts(parts: list[str]) -> tuple[str, str, str]:
    """Return source, target and access; a second part without a slash is the access."""
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2 and not parts[1].startswith("/"):
        return parts[0], parts[0], parts[1]
    return parts[0], parts[-1], "rwm"
