"""Which process `exec` is asked for: a whole document, or the container's own one changed."""

from __future__ import annotations

from typing import Any

import msgspec

from nestbox.errors import ConfigError, UsageError, reason
from nestbox.oci.process import ConfigCapabilities, Process, User
from nestbox.oci.read import parse_process
from nestbox.oci.validate import find_process_problems, refuse
from nestbox.runtime.oci.requests import ExecRequest

_MAXIMUM_BYTES = (32 << 20) + 1
_MAXIMUM_ID = (1 << 32) - 2


def asked_process(request: ExecRequest, own: Process) -> Process:
    """Return the process that is to run; ``own`` is that of the container's configuration.

    Raises:
        ConfigError: the document cannot be read or is malformed.
        UsageError: an option is.
    """
    process = _from_file(request.process) if request.process else _changed(own, request)
    refuse(find_process_problems(process), source=request.process or "the process of exec")
    return process


def _from_file(path: str) -> Process:
    try:
        with open(path, "rb") as file:
            return parse_process(file.read(_MAXIMUM_BYTES), source=path)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path!r}", cause=reason(error), remedy="name a readable file"
        ) from error


def _changed(own: Process, request: ExecRequest) -> Process:
    if not request.args:
        raise UsageError(
            "process args cannot be empty",
            cause="neither a command nor a process document is given",
            remedy="put the command behind the container's id",
        )
    changes: dict[str, Any] = {
        "args": request.args,
        "env": own.env + request.env,
        "terminal": bool(request.tty),
        "console_size": None,
    }
    for name, value in (
        ("cwd", request.cwd),
        ("apparmor_profile", request.apparmor),
        ("selinux_label", request.process_label),
        ("no_new_privileges", request.no_new_privileges),
    ):
        if value is not None:
            changes[name] = value
    if request.user is not None or request.additional_gids:
        changes["user"] = _user(own.user, request)
    if request.capabilities:
        changes["capabilities"] = _more_capabilities(own, request.capabilities)
    return msgspec.structs.replace(own, **changes)


def _user(own: User, request: ExecRequest) -> User:
    """Return the user: ids in digits alone, since a name would be looked up in a hostile file."""
    changes: dict[str, Any] = {}
    if request.user is not None:
        uid, separator, gid = request.user.partition(":")
        changes["uid"] = _id(uid, request.user)
        if separator:
            changes["gid"] = _id(gid, request.user)
    if request.additional_gids:
        changes["additional_gids"] = (*own.additional_gids, *request.additional_gids)
    return msgspec.structs.replace(own, **changes)


def _id(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > _MAXIMUM_ID:
        raise UsageError(
            f"invalid user {whole[:80]!r}",
            cause="it is not UID or UID:GID in digits (CVE-2026-30892)",
            remedy="look the numbers up with id(1)",
        )
    return int(text)


def _more_capabilities(own: Process, names: tuple[str, ...]) -> ConfigCapabilities:
    """Return the container's sets with these as well; ambient where inheritable is in use at all.

    Inheritable itself is never raised (CVE-2022-29162).
    """
    sets = own.capabilities or ConfigCapabilities()
    return msgspec.structs.replace(
        sets,
        bounding=_union(sets.bounding, names),
        effective=_union(sets.effective, names),
        permitted=_union(sets.permitted, names),
        ambient=_union(sets.ambient, names) if sets.inheritable else sets.ambient,
    )


def _union(own: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    return (*own, *(name for name in names if name not in own))
