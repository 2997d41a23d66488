"""Who the container's program is: user, group, further groups, home. Pure.

A word of digits is always a number, even where a user has it as a name (CVE-2016-3697), and a
number is read strictly (CVE-2026-30892).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.policy.decision import Intent
from nestbox.policy.subjects import holds
from nestbox.policy.wish import Wish, by_flag, by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import Identity, IdMap, OuterEnvironment, RootFacts
    from nestbox.policy.decision import Decision
    from nestbox.policy.request import RunRequest
    from nestbox.policy.userns import UserNamespaceChoice

MAX_ID: Final = (1 << 32) - 2  # (uid_t)-1 means "leave it" to setresuid(2)
_OTHER_ID: Final = "choose an id inside the map, or give --userns a map that has it"
_OVERFLOW: Final = 65534  # kernel.overflowgid, unless somebody changed it
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
        wish = by_nestbox("user", user_namespace.user or "0:0")
    else:
        wish = by_flag("user", request.user, f"-u {request.user}")
    asked = request.user if request.user is not None else user_namespace.user or "0"
    user, group = split_user(asked)
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
    if user_namespace.refused:
        return person, _foreseen(wish, person, environment)
    if user_namespace.new:
        lacking: tuple[str, ...] = ()
        problem = _unmapped(person, user_namespace)
        remedy = _OTHER_ID
    else:
        lacking = _lacking(person, environment)
        problem = _out_of_reach(person, environment, lacking)
        remedy = f"give the outer environment {' and '.join(lacking)}, or leave -u out"
        if not lacking:
            remedy = "choose an id that the outer user namespace has, or give that one more ids"
    decision = wish.granted(f"{person.uid}:{person.gid}")
    if problem and lacking and wish.intent is Intent.LENIENT:
        # Nobody was asked for by name, so whoever we are will do.
        own = _own_ids(environment)
        person = Person(uid=own.uid, gid=own.gid, groups=(), home="/")
        given = f"give the outer environment {' and '.join(lacking)}"
        decision = wish.short(f"{own.uid}:{own.gid}", cause=problem, remedy=given)
    elif problem:
        return person, (wish.refused(cause=problem, remedy=remedy),)
    allowed, decisions = _allowed_groups(person, environment, user_namespace)
    return msgspec.structs.replace(person, groups=allowed), (decision, *decisions)


def _foreseen(wish: Wish, person: Person, environment: OuterEnvironment) -> tuple[Decision, ...]:
    """Return the refusal of an id that is not to be had either when the user namespace is."""
    tools = environment.tools
    several = tools is None or bool(tools.subuid) or holds(environment, "CAP_SETUID")
    if several or person.uid == 0 or wish.intent is Intent.LENIENT:
        return ()
    cause = f"a new user namespace has one id here, which uid {person.uid} would not be"
    return (wish.refused(cause=cause, remedy=_OTHER_ID),)


def _unmapped(person: Person, user_namespace: UserNamespaceChoice) -> str:
    if not is_mapped(person.uid, user_namespace.uid_map):
        return f"uid {person.uid} is not in the map of the new user namespace"
    if not is_mapped(person.gid, user_namespace.gid_map):
        return f"gid {person.gid} is not in the map of the new user namespace"
    return ""


def is_mapped(number: int, rows: tuple[IdMap, ...]) -> bool:
    """Return whether the id exists inside a namespace with this map."""
    return any(row.inside <= number < row.inside + row.count for row in rows)


def _own_ids(environment: OuterEnvironment) -> Identity:
    if environment.identity is None:
        raise AssertionError("a decision needs identity, which was not observed")
    return environment.identity


def _lacking(person: Person, environment: OuterEnvironment) -> tuple[str, ...]:
    """Return the capabilities that becoming this person needs and that we have not."""
    own = _own_ids(environment)
    needed = {
        "CAP_SETUID": person.uid != own.uid,
        "CAP_SETGID": person.gid != own.gid,
    }
    return tuple(name for name, need in needed.items() if need and not holds(environment, name))


def _out_of_reach(person: Person, environment: OuterEnvironment, lacking: tuple[str, ...]) -> str:
    if lacking:
        verb = "is" if len(lacking) == 1 else "are"
        return f"{' and '.join(lacking)} {verb} not in the outer effective set"
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
        cause = "setgroups(2) is denied in this user namespace"
        rows = user_namespace.gid_map
    else:
        denied = not holds(environment, "CAP_SETGID") or bool(outer and outer.setgroups_denied)
        cause = "CAP_SETGID is missing, or setgroups(2) is denied, in the outer user namespace"
        rows = outer.gid_map if outer and not outer.initial else ()
    if denied:
        own = environment.identity.groups if environment.identity else ()
        if not wanted and not own:
            return None, ()
        return None, (_kept(wish, own, rows, cause),)
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


def _kept(wish: Wish, own: tuple[int, ...], rows: tuple[IdMap, ...], cause: str) -> Decision:
    """Return that the groups which we have stay, though they open files; and as what they show."""
    outside = [gid for gid in own if not any(r.outside <= gid < r.outside + r.count for r in rows)]
    chosen = "the outer groups are kept"
    if rows and outside:
        chosen += f": {','.join(map(str, outside))}, seen inside as {_OVERFLOW} (nobody)"
    return wish.short(chosen, cause=cause, remedy="give the outer user subordinate ids")
