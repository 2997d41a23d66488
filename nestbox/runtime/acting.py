"""Acting as the user to whom a state directory belongs.

What is kept of a container says which processes are killed, which cgroups are removed and which
hooks are run. Root that reads it from a directory of somebody else would do all of that with the
rights of root at the word of that user. Root therefore becomes that user first, for good: then
nothing that is in the directory can do more than its owner can do without our help.
"""

from __future__ import annotations

import os

from nestbox.errors import StateError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

_NOBODY = 65534  # the group that owns nothing
# Of root's variables: what is shown how, and what the one who started us handed over.
_KEPT = frozenset({"PATH", "LANG", "TERM", "TZ", "COLUMNS", "NO_COLOR", "NOTIFY_SOCKET"})
_KEPT_PREFIXES = ("LC_", "LISTEN_")


def act_as_owner(root: str, info: os.stat_result, environment: MutableMapping[str, str]) -> None:
    """Become the owner of ``root``, with the groups and the runtime directory of that user.

    A hook may get our variables, so none of root's own stay in ``environment``.

    Raises:
        StateError: that is not allowed here, or a right of root is left.

    Source: setresuid(2), capabilities(7) "Effect of user ID changes on capabilities".
    """
    from nestbox.kernel import constants
    from nestbox.kernel.syscalls import prctl

    uid = info.st_uid
    gid, groups = _groups(uid)
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        # Whatever fs.suid_dumpable says: our memory and descriptors stay closed to that user.
        prctl(constants.PR_SET_DUMPABLE, 0)
    except OSError as error:
        raise _refused(root, uid, reason(error)) from error
    if _has_rights():
        raise _refused(root, uid, "the secure bits of this process keep the capabilities of root")
    _use_runtime_directory(uid, environment)


def _groups(uid: int) -> tuple[int, list[int]]:
    """Return the group of a user and all groups of that user: none without an account.

    The group of the directory is no fact about the user: it may be that of the directory above.
    """
    import pwd

    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return _NOBODY, []
    return entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def _has_rights() -> bool:
    from nestbox.kernel.syscalls import capget

    effective, permitted, _ = capget()
    return bool(effective | permitted)


def _use_runtime_directory(uid: int, environment: MutableMapping[str, str]) -> None:
    """Let the default state directory be that of the user, for records and known roots."""
    for name in [*environment]:
        if name not in _KEPT and not name.startswith(_KEPT_PREFIXES):
            del environment[name]
    directory = f"/run/user/{uid}"  # where pam_systemd(8) puts it
    try:
        if os.lstat(directory).st_uid == uid:
            environment["XDG_RUNTIME_DIR"] = directory
    except OSError:
        return


def _refused(root: str, uid: int, cause: str) -> StateError:
    return StateError(
        f"cannot act on the containers in {root!r}, which belong to the user {uid}",
        cause=cause,
        remedy=f"run it as that user, as with: setpriv --reuid={uid} --init-groups",
    )
