"""Who the container's program is: user, group, further groups, home. Pure.

A word of digits is always a number, even where a user has it as a name (CVE-2016-3697), and a
number is read strictly (CVE-2026-30892).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.policy.subjects import holds
from nestbox.policy.wish import Wish, by_flag, by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import IdMap, OuterEnvironment, RootFacts
    from nestbox.policy.decision import Decision
    from nestbox.policy.request import RunRequest
    from nestbox.policy.userns import UserNamespaceChoice

MAX_ID: Final = (1 << 32) - 2  # (uid_t)-1 means "leave it" to setresuid(2)
_MAX_GROUPS: Final = 65536  # NGROUPS_MAX
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_.\-]*\$?"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of the container's program; groups None leaves those that we have."""

    uid: int
    gid: int
    groups: tuple[int, ...] | None
    home: str


class Account(msgspec.Struct, frozen=True):
    """One line of a passwd file."""

    name: str
    uid: int
    gid: int
    home: str


class Group(msgspec.Struct, frozen=True):
    """One line of a group file."""

    name: str
    gid: int
    members: tuple[str, ...]


def parse_passwd(text: str | None) -> tuple[Account, ...]:
    """Return the well-formed lines of a passwd file. Source: passwd(5)."""
    accounts = []
    for line in (text or "").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and _is_id(fields[2]) and _is_id(fields[3]):
            accounts.append(Account(fields[0], int(fields[2]), int(fields[3]), fields[5]))
    return tuple(accounts)


def parse_group(text: str | None) -> tuple[Group, ...]:
    """Return the well-formed lines of a group file. Source: group(5)."""
    groups = []
    for line in (text or "").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and _is_id(fields[2]):
            members = tuple(filter(None, fields[3].split(",")))
            groups.append(Group(fields[0], int(fields[2]), members))
    return tuple(groups)


def split_user(text: str) -> tuple[str, str | None]:
    """Return user and group of ``-u``, each a number or a name that can exist.

    Raises:
        UsageError: one of them is empty, a number out of range, or not a name.
    """
    user, separator, group = text.partition(":")
    for word in (user, group) if separator else (user,):
        if _is_number(word):
            if not _is_id(word):
                raise UsageError(
                    f"-u {text!r}",
                    cause=f"{word} is above {MAX_ID}, the last id that exists",
                    remedy="give a smaller number",
                )
        elif not re.fullmatch(_NAME, word):
            raise UsageError(
                f"-u {text!r}",
                cause=f"{word!r} is neither a number nor a name" if word else "a part is empty",
                remedy="write UID, UID:GID, name or name:group",
            )
    return user, group if separator else None


def decide_identity(
    request: RunRequest,
    root: RootFacts,
    environment: OuterEnvironment,
    user_namespace: UserNamespaceChoice,
) -> tuple[Person, tuple[Decision, ...]]:
    """Return who the program runs as, and the decisions about it.

    Raises:
        UsageError: ``-u`` is malformed.
    """
    if request.user is None:
        wish = by_nestbox("user", "0:0")
    else:
        wish = by_flag("user", request.user, f"-u {request.user}")
    user, group = split_user(request.user if request.user is not None else "0")
    accounts, groups = parse_passwd(root.passwd), parse_group(root.group)
    account = _find_account(user, accounts)
    if account is None:
        return _NOBODY, (_unknown(wish, user, "passwd", root),)
    gid = account.gid if group is None else _find_group(group, groups)
    if gid is None:
        return _NOBODY, (_unknown(wish, group or "", "group", root),)
    further = _memberships(account, groups) if group is None else ()
    person = Person(uid=account.uid, gid=gid, groups=further, home=account.home or "/")
    return _fit(wish, person, environment, user_namespace)


def person_of(user: str, passwd: str | None, group: str | None) -> Person:
    """Return who a user of ``-u`` is, by the texts of a container's passwd and group files.

    Raises:
        UsageError: it is malformed, or a name that is not in them.
    """
    name, group_name = split_user(user)
    accounts, groups = parse_passwd(passwd), parse_group(group)
    account = _find_account(name, accounts)
    gid = None
    if account is not None:
        gid = account.gid if group_name is None else _find_group(group_name, groups)
    if account is None or gid is None:
        word, file = (name, "passwd") if account is None else (group_name, "group")
        raise UsageError(
            f"-u {user!r}",
            cause=f"the container's /etc/{file} has no {word!r}",
            remedy="give a number, or a name that is in that file",
        )
    further = _memberships(account, groups) if group_name is None else ()
    return Person(uid=account.uid, gid=gid, groups=further, home=account.home or "/")


_NOBODY: Final = Person(uid=MAX_ID, gid=MAX_ID, groups=None, home="/")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _is_id(text: str) -> bool:
    return _is_number(text) and len(text) <= 10 and int(text) <= MAX_ID


def _find_account(user: str, accounts: tuple[Account, ...]) -> Account | None:
    """Return the account of this number or name; a number needs no entry to be one."""
    if not _is_number(user):
        return next((account for account in accounts if account.name == user), None)
    uid = int(user)
    known = next((account for account in accounts if account.uid == uid), None)
    return known or Account("root" if uid == 0 else "", uid, 0, "/root" if uid == 0 else "/")


def _find_group(group: str, groups: tuple[Group, ...]) -> int | None:
    if _is_number(group):
        return int(group)
    return next((found.gid for found in groups if found.name == group), None)


def _memberships(account: Account, groups: tuple[Group, ...]) -> tuple[int, ...]:
    found = dict.fromkeys(
        group.gid for group in groups if account.name and account.name in group.members
    )
    return tuple(found)[:_MAX_GROUPS]


def _unknown(wish: Wish, name: str, file: str, root: RootFacts) -> Decision:
    text = root.passwd if file == "passwd" else root.group
    place = f"/etc/{file} of the root"
    cause = f"{place} has no {name!r}" if text is not None else f"the root has no /etc/{file}"
    return wish.refused(cause=cause, remedy="give a number, or a name that is in that file")


def _fit(
    wish: Wish,
    person: Person,
    environment: OuterEnvironment,
    user_namespace: UserNamespaceChoice,
) -> tuple[Person, tuple[Decision, ...]]:
    """Return the person as far as our rights allow, with the decisions."""
    ids = f"{person.uid}:{person.gid}"
    if user_namespace.refused:
        return person, ()  # which ids there are is not known
    if user_namespace.new:
        problem = _unmapped(person, user_namespace)
        remedy = "choose an id inside the map, or give --userns a map that has it"
    else:
        problem = _out_of_reach(person, environment)
        remedy = "give the outer environment CAP_SETUID and CAP_SETGID, or leave -u out"
    if problem:
        return person, (wish.refused(cause=problem, remedy=remedy),)
    granted = wish.granted(ids)
    allowed, decisions = _allowed_groups(person, environment, user_namespace)
    return msgspec.structs.replace(person, groups=allowed), (granted, *decisions)


def _unmapped(person: Person, user_namespace: UserNamespaceChoice) -> str:
    if not is_mapped(person.uid, user_namespace.uid_map):
        return f"uid {person.uid} is not in the map of the new user namespace"
    if not is_mapped(person.gid, user_namespace.gid_map):
        return f"gid {person.gid} is not in the map of the new user namespace"
    return ""


def is_mapped(number: int, rows: tuple[IdMap, ...]) -> bool:
    """Return whether the id exists inside a namespace with this map."""
    return any(row.inside <= number < row.inside + row.count for row in rows)


def _out_of_reach(person: Person, environment: OuterEnvironment) -> str:
    own = environment.identity
    if own is None:
        raise AssertionError("a decision needs identity, which was not observed")
    if person.uid != own.uid and not holds(environment, "CAP_SETUID"):
        return "CAP_SETUID is not in the outer effective set"
    if person.gid != own.gid and not holds(environment, "CAP_SETGID"):
        return "CAP_SETGID is not in the outer effective set"
    outer = environment.user_namespace
    if outer is None or outer.initial:
        return ""
    if not is_mapped(person.uid, outer.uid_map):
        return f"uid {person.uid} is not in the map of the outer user namespace"
    if not is_mapped(person.gid, outer.gid_map):
        return f"gid {person.gid} is not in the map of the outer user namespace"
    return ""


def _allowed_groups(
    person: Person, environment: OuterEnvironment, user_namespace: UserNamespaceChoice
) -> tuple[tuple[int, ...] | None, tuple[Decision, ...]]:
    """Return the further groups that can be set, None when setgroups(2) is not allowed."""
    wanted = person.groups or ()
    wish = by_nestbox("groups", ",".join(map(str, wanted)) or "none")
    outer = environment.user_namespace
    if user_namespace.new:
        denied = not user_namespace.setgroups
        cause = "setgroups(2) is denied in a user namespace with one id"
        rows = user_namespace.gid_map
    else:
        denied = not holds(environment, "CAP_SETGID") or bool(outer and outer.setgroups_denied)
        cause = "CAP_SETGID is missing, or setgroups(2) is denied, in the outer user namespace"
        rows = outer.gid_map if outer and not outer.initial else ()
    if denied:
        own = environment.identity.groups if environment.identity else ()
        if not wanted and not own:
            return None, ()
        kept = wish.short(
            "the outer groups are kept", cause=cause, remedy="give the outer user subordinate ids"
        )
        return None, (kept,)
    usable = tuple(gid for gid in wanted if not rows or is_mapped(gid, rows))
    if usable == wanted:
        return wanted, ()
    lost = ",".join(str(gid) for gid in wanted if gid not in usable)
    return usable, (
        wish.short(
            ",".join(map(str, usable)) or "none",
            cause=f"not in the map of the user namespace: {lost}",
            remedy="use a user namespace with more ids",
        ),
    )
