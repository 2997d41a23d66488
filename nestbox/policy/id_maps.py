"""The ids of a new user namespace: which rung of the ladder they come from. Pure.

The ladder: ranges that belong to our user, which we or newuidmap(1) map - every outer id, for
root - one id. Source: user_namespaces(7), "User and group ID mappings".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.facts import IdMap, Subject
from nestbox.policy.id_rows import all_available, available, covers, lay_out, shown
from nestbox.policy.map_tools import tools_problem
from nestbox.policy.subjects import holds, need

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, SubordinateIds

_SUBORDINATE: Final = "/etc/subuid and /etc/subgid"
_GIVE_SETFCAP: Final = "give the outer environment CAP_SETFCAP (for docker, --cap-add SETFCAP)"
_SETFCAP: Final = "mapping uid 0 needs CAP_SETFCAP, which is not in the outer effective set"


class IdMaps(msgspec.Struct, frozen=True, kw_only=True):
    """The rung that was found for the ids; ``cause`` says why not a better one."""

    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    setgroups: bool = True
    with_tools: bool = False
    chosen: str = ""
    weaker: bool = False
    cause: str = ""
    remedy: str = ""

    @property
    def refused(self) -> bool:
        """Whether no rung was found."""
        return not self.uid_map


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Which ids inside our own uid and gid are to be."""

    uid: int = 0
    gid: int = 0


def automatic_maps(environment: OuterEnvironment, kept: Kept | None = None) -> IdMaps:
    """Return the best rung: ranges of our own, every outer id, or one id.

    ``kept`` gives our own ids a place of their choice; without it root's is not in the map of a
    range, and another user is root inside.
    """
    identity = need(environment.identity, Subject.IDENTITY)
    uid_map, gid_map = _ranged(environment, kept)
    writes = _may_write(environment)
    problem = None if writes else tools_problem(environment)
    if uid_map and gid_map and problem is None:
        return _many(environment, uid_map, gid_map, with_tools=not writes)
    missing, remedy = _why_no_range(environment)
    if problem is not None and uid_map and gid_map:
        missing = f"CAP_SETUID and CAP_SETGID are not both effective, and {problem[0]}"
        remedy = problem[1]
    elif problem is not None:
        # Both are needed for more ids.
        missing, remedy = f"{missing}, and {problem[0]}", f"{problem[1]}; and {remedy}"
    if writes and identity.uid == 0:
        return _all_outside(environment, kept, missing, remedy)
    return _one_id(environment, kept or Kept(), missing, remedy)


def _ranged(
    environment: OuterEnvironment, kept: Kept | None
) -> tuple[tuple[IdMap, ...], tuple[IdMap, ...]]:
    """Return the maps of our subordinate ids, each empty where none exists."""
    identity = need(environment.identity, Subject.IDENTITY)
    tools = need(environment.tools, Subject.TOOLS)
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    if kept is None and identity.uid != 0:
        kept = Kept()
    uids = _laid_out(tools.subuid, outer.uid_map, identity.uid, None if kept is None else kept.uid)
    gids = _laid_out(tools.subgid, outer.gid_map, identity.gid, None if kept is None else kept.gid)
    return uids, gids


def _laid_out(
    ranges: tuple[SubordinateIds, ...], outer: tuple[IdMap, ...], own: int, inside: int | None
) -> tuple[IdMap, ...]:
    pieces = available(ranges, outer, but=None if inside is None else own)
    if not pieces:
        return ()
    return lay_out(pieces, own=None if inside is None else (inside, own))


def _many(
    environment: OuterEnvironment,
    uid_map: tuple[IdMap, ...],
    gid_map: tuple[IdMap, ...],
    *,
    with_tools: bool,
) -> IdMaps:
    if not with_tools and _maps_root(uid_map) and not holds(environment, "CAP_SETFCAP"):
        return IdMaps(cause=_SETFCAP, remedy=_GIVE_SETFCAP)
    shared = need(environment.tools, Subject.TOOLS).subordinate_shared
    count = sum(row.count for row in uid_map)
    lowest = min(row.outside for row in uid_map if row.count == max(x.count for x in uid_map))
    return IdMaps(
        uid_map=uid_map,
        gid_map=gid_map,
        setgroups=_allows_setgroups(environment),
        with_tools=with_tools,
        chosen=f"{count} ids, from {lowest} outside",
        weaker=bool(shared),
        cause="; ".join(shared),
        remedy=f"give each user ranges in {_SUBORDINATE} that nobody else has" if shared else "",
    )


def _maps_root(uid_map: tuple[IdMap, ...]) -> bool:
    return any(row.outside == 0 for row in uid_map)


def _allows_setgroups(environment: OuterEnvironment) -> bool:
    """Return whether it is allowed in ours; a user namespace inside can allow no more."""
    return not need(environment.user_namespace, Subject.USER_NAMESPACE).setgroups_denied


def _why_no_range(environment: OuterEnvironment) -> tuple[str, str]:
    """Return why there are no subordinate ids to map, and the remedy."""
    tools = need(environment.tools, Subject.TOOLS)
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    uid = need(environment.identity, Subject.IDENTITY).uid
    notes = "".join(f"; {note}" for note in tools.subordinate_notes)
    lines = f"{uid}:100000:65536"
    remedy = f"as root outside, run: echo {lines} | tee -a /etc/subuid /etc/subgid"
    if tools.subuid and tools.subgid:
        listed = ", ".join(f"{row.inside} for {row.count}" for row in outer.uid_map[:4])
        return (
            f"the ranges of {_SUBORDINATE} for our user do not exist in this user namespace, which "
            f"has the ids {listed}",
            f"give our user a range in {_SUBORDINATE} of ids that this user namespace has",
        )
    if not outer.initial:
        remedy = f"give our user a range in {_SUBORDINATE} of ids that this user namespace has"
    return f"no range of {_SUBORDINATE} belongs to our user{notes}", remedy


def _all_outside(
    environment: OuterEnvironment, kept: Kept | None, missing: str, remedy: str
) -> IdMaps:
    """Return the map of the ids that exist outside, each as itself unless ``kept`` moves ours."""
    if not holds(environment, "CAP_SETFCAP"):
        return IdMaps(
            cause=f"{missing}, and {_SETFCAP}",
            remedy=f"{remedy}; or {_GIVE_SETFCAP}",
        )
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    uid_map = tuple(_itself(row) for row in outer.uid_map)
    gid_map = tuple(_itself(row) for row in outer.gid_map)
    if kept is not None and (kept.uid, kept.gid) != (0, 0):
        identity = need(environment.identity, Subject.IDENTITY)
        uids = all_available(outer.uid_map, but=identity.uid)
        gids = all_available(outer.gid_map, but=identity.gid)
        uid_map = lay_out(uids, own=(kept.uid, identity.uid))
        gid_map = lay_out(gids, own=(kept.gid, identity.gid))
    return IdMaps(
        uid_map=uid_map,
        gid_map=gid_map,
        setgroups=_allows_setgroups(environment),
        chosen="each outer id as itself" if kept is None else shown(uid_map),
        weaker=True,
        cause=missing,
        remedy=f"{remedy}, or give --userns a map; until then files of the outer root are the "
        "container's own",
    )


def _itself(row: IdMap) -> IdMap:
    return IdMap(inside=row.inside, outside=row.inside, count=row.count)


def _one_id(environment: OuterEnvironment, inside: Kept, missing: str, remedy: str) -> IdMaps:
    identity = need(environment.identity, Subject.IDENTITY)
    if identity.uid == 0 and not holds(environment, "CAP_SETFCAP"):
        return IdMaps(
            cause=f"{missing}, and {_SETFCAP}" if missing else _SETFCAP,
            remedy=f"{_GIVE_SETFCAP}, or run nestbox as another user",
        )
    return IdMaps(
        uid_map=(IdMap(inside=inside.uid, outside=identity.uid, count=1),),
        gid_map=(IdMap(inside=inside.gid, outside=identity.gid, count=1),),
        setgroups=False,
        chosen=f"one id: {inside.uid} is {identity.uid} outside",
        weaker=True,
        cause=missing,
        remedy=remedy,
    )


def explicit_maps(
    uids: tuple[IdMap, ...], gids: tuple[IdMap, ...], environment: OuterEnvironment
) -> IdMaps:
    """Return the maps that were asked for, or why they cannot be had."""
    identity = need(environment.identity, Subject.IDENTITY)
    absent = _absent(uids, gids, environment)
    if absent is not None:
        return absent
    if _may_write(environment):
        return _explicit_direct(uids, gids, environment)
    if _is_only(uids, identity.uid) and _is_only(gids, identity.gid):
        found = _one_id(environment, Kept(uid=uids[0].inside, gid=gids[0].inside), "", "")
        return msgspec.structs.replace(found, weaker=False)
    return _explicit_by_tools(uids, gids, environment)


def _absent(
    uids: tuple[IdMap, ...], gids: tuple[IdMap, ...], environment: OuterEnvironment
) -> IdMaps | None:
    """Return the refusal of ids that do not exist in the outer user namespace."""
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    for kind, rows, there in (("uid", uids, outer.uid_map), ("gid", gids, outer.gid_map)):
        for row in rows:
            if not covers(there, row):
                return IdMaps(
                    cause=f"{kind}s {row.outside} to {row.outside + row.count - 1} do not all "
                    "exist in one row of the outer user namespace",
                    remedy=f"map ids that /proc/self/{kind}_map lists in its first column",
                )
    return None


def _is_only(rows: tuple[IdMap, ...], own: int) -> bool:
    return len(rows) == 1 and rows[0].count == 1 and rows[0].outside == own


def _explicit_by_tools(
    uids: tuple[IdMap, ...], gids: tuple[IdMap, ...], environment: OuterEnvironment
) -> IdMaps:
    tools = need(environment.tools, Subject.TOOLS)
    identity = need(environment.identity, Subject.IDENTITY)
    problem = tools_problem(environment)
    foreign = next(
        (
            f"{kind}s {row.outside} to {row.outside + row.count - 1}"
            for kind, rows, own, ranges in (
                ("uid", uids, identity.uid, tools.subuid),
                ("gid", gids, identity.gid, tools.subgid),
            )
            for row in rows
            if not _is_own(row, own, ranges)
        ),
        None,
    )
    if problem is None and foreign is None:
        # newgidmap allows setgroups(2) for ids of /etc/subgid alone.
        ranged = any(_in_ranges(row, tools.subgid) for row in gids)
        return IdMaps(
            uid_map=uids,
            gid_map=gids,
            with_tools=True,
            setgroups=ranged and _allows_setgroups(environment),
            chosen=shown(uids),
        )
    why = problem[0] if problem else f"{foreign} belong to others by {_SUBORDINATE}"
    cure = problem[1] if problem else f"give our user a range in {_SUBORDINATE}"
    return IdMaps(
        cause=f"CAP_SETUID and CAP_SETGID are not both in the outer effective set, and {why}",
        remedy=f"map one id, --userns 0:{identity.uid}:1, or {cure}",
    )


def _is_own(row: IdMap, own: int, ranges: tuple[SubordinateIds, ...]) -> bool:
    return (row.outside == own and row.count == 1) or _in_ranges(row, ranges)


def _in_ranges(row: IdMap, ranges: tuple[SubordinateIds, ...]) -> bool:
    end = row.outside + row.count
    return any(ids.first <= row.outside and end <= ids.first + ids.count for ids in ranges)


def _explicit_direct(
    uids: tuple[IdMap, ...], gids: tuple[IdMap, ...], environment: OuterEnvironment
) -> IdMaps:
    if _maps_root(uids) and not holds(environment, "CAP_SETFCAP"):
        return IdMaps(
            cause=_SETFCAP, remedy="give the outer environment CAP_SETFCAP, or map other ids"
        )
    return IdMaps(
        uid_map=uids,
        gid_map=gids,
        setgroups=_allows_setgroups(environment),
        chosen=shown(uids) if uids == gids else f"uids {shown(uids)}; gids {shown(gids)}",
    )


def _may_write(environment: OuterEnvironment) -> bool:
    return holds(environment, "CAP_SETUID", "CAP_SETGID")
