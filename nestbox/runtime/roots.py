"""Where the state of containers is: the default directory, and those that engines name.

Engines give each of their name spaces a directory of its own (``--root``). So that `nestbox ps`
sees their containers too, a link to each such directory is kept below the default one.
"""

from __future__ import annotations

import os

from nestbox.runtime.directories import NOT_A_CONTAINER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

STATE_ROOT = "/run/nestbox"
_KNOWN = f"{NOT_A_CONTAINER}roots"
_MAXIMUM_NAME = 255  # NAME_MAX, bytes
_WHOLE_MAP = ["0", "0", "4294967295"]  # user_namespaces(7): that of the first user namespace


def default_root(environment: Mapping[str, str], uid: int) -> str:
    """Return the directory for state. Source: XDG Base Directory Specification.

    For uid 0 that is /run/nestbox, for others $XDG_RUNTIME_DIR/nestbox; $NESTBOX_ROOT overrides
    both. Uid 0 of a user namespace that another user made is one of the others.
    """
    if configured := environment.get("NESTBOX_ROOT"):
        return os.path.abspath(configured)
    runtime = environment.get("XDG_RUNTIME_DIR")
    if uid == 0 and not (runtime and is_mapped_user(environment)):
        return STATE_ROOT
    return f"{runtime}/nestbox" if runtime else f"/tmp/nestbox-{uid}"


def is_mapped_user(environment: Mapping[str, str]) -> bool:
    """Return whether our uid 0 is another user outside: one whose $USER is not root."""
    return environment.get("USER", "") != "root" and not has_every_id()


def has_every_id() -> bool:
    """Return whether all ids are themselves here, as in the first user namespace."""
    try:
        with open("/proc/self/uid_map", "rb", buffering=0) as file:
            return file.read(4096).decode().split() == _WHOLE_MAP
    except OSError:
        return True  # a kernel without user namespaces, or nothing to learn it from


def foreign_owner(root: str) -> os.stat_result | None:
    """Return the facts of a state directory when we are root and it is another user's, else None.

    In a user namespace that has not all ids the owner cannot be told from users outside of it: what
    is not ours is then refused when it is used.
    """
    if os.geteuid() != 0:
        return None
    try:
        info = os.lstat(root)
    except OSError:
        return None  # whoever uses it tells why it cannot be
    return info if info.st_uid != 0 and has_every_id() else None


def remember_root(root: str, default: str) -> None:
    """Keep a link to a directory in which containers are, unless it is the default one.

    It only serves who looks for all containers, so that a failure is none of the caller's.
    """
    if root == default:
        return
    directory = os.path.join(default, _KNOWN)
    name = os.fsencode(root).replace(b"%", b"%25").replace(b"/", b"%2F")[-_MAXIMUM_NAME:]
    link = os.path.join(os.fsencode(directory), name)
    try:
        os.symlink(root, link)
    except FileNotFoundError:
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            os.symlink(root, link)
        except OSError:
            return
    except OSError:
        return


def known_roots(default: str) -> list[str]:
    """Return the default directory and all that were remembered and exist, in that order.

    The link to one that is gone is removed.
    """
    found = []
    directory = os.path.join(default, _KNOWN)
    try:
        names = os.listdir(directory)
    except OSError:
        names = []
    for name in names:
        link = os.path.join(directory, name)
        try:
            if os.path.isdir(link):
                found.append(os.readlink(link))
            else:
                os.unlink(link)
        except OSError:
            continue
    return [default, *sorted(found)]
