"""The ids of a new user namespace: which rung of the ladder they come from. Pure.

The ladder: a range that belongs to our user, which we or newuidmap(1) map - every outer id as
itself, for root - one id. Source: user_namespaces(7), "User and group ID mappings".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, Subject
from nestbox.policy.subjects import holds, need

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, SubordinateIds

MANY_IDS: Final = 65536  # ids 0 to 65535, the last of which is nobody on most systems
_MAX_ROWS: Final = 340  # UID_GID_MAP_MAX_EXTENTS
_ID_LIMIT: Final = (1 << 32) - 1  # ids are below; the last is (uid_t)-1


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


def parse_map(text: str) -> tuple[IdMap, ...]:
    """Return the rows of ``INSIDE:OUTSIDE:COUNT[,…]``.

    Raises:
        UsageError: it is something else, or two rows overlap.
    """
    rows = tuple(_parse_row(item, text) for item in text.split(","))
    if len(rows) > _MAX_ROWS:
        raise _bad_map(text, f"the kernel takes at most {_MAX_ROWS} rows")
    for index, row in enumerate(rows):
        for other in rows[:index]:
            if _overlap(row.inside, other.inside, row.count, other.count) or _overlap(
                row.outside, other.outside, row.count, other.count
            ):
                raise _bad_map(text, "two of its rows overlap")
    return rows


def _parse_row(item: str, text: str) -> IdMap:
    fields = item.split(":")
    if len(fields) != 3 or not all(
        field.isascii() and field.isdigit() and len(field) <= 10 for field in fields
    ):
        raise _bad_map(text, f"{item!r} is not INSIDE:OUTSIDE:COUNT")
    inside, outside, count = map(int, fields)
    if count == 0 or inside + count > _ID_LIMIT or outside + count > _ID_LIMIT:
        raise _bad_map(text, f"{item!r} has no ids, or ids that do not exist")
    return IdMap(inside=inside, outside=outside, count=count)


def _overlap(first: int, second: int, first_count: int, second_count: int) -> bool:
    return first < second + second_count and second < first + first_count


def _bad_map(text: str, cause: str) -> UsageError:
    return UsageError(
        f"--userns {text!r}", cause=cause, remedy="write host, auto or INSIDE:OUTSIDE:COUNT[,…]"
    )


def automatic_maps(environment: OuterEnvironment) -> IdMaps:
    """Return the best rung: a range of our own, every outer id as itself, or one id."""
    identity = need(environment.identity, Subject.IDENTITY)
    ranges = _own_ranges(environment)
    writes = _may_write(environment)
    if ranges and (writes or _has_tools(environment)):
        uids, gids = ranges
        uid_map, gid_map = _mapped(identity.uid, uids), _mapped(identity.gid, gids)
        count = sum(row.count for row in uid_map)
        return IdMaps(
            uid_map=uid_map,
            gid_map=gid_map,
            with_tools=not writes,
            chosen=f"{count} ids, from {uids.first} outside",
        )
    missing = "no range of /etc/subuid and /etc/subgid belongs to our user"
    if ranges:
        missing = "CAP_SETUID and CAP_SETGID are missing, and so are newuidmap and newgidmap"
    if writes and identity.uid == 0:
        return _as_outside(environment, missing)
    return _one_id(environment, 0, missing)


def _mapped(own: int, ids: SubordinateIds) -> tuple[IdMap, ...]:
    """Return the map of a range; a user who is not root is root inside, before the range."""
    if own == 0:
        return (_row(0, ids),)
    return (IdMap(inside=0, outside=own, count=1), _row(1, ids))


def _as_outside(environment: OuterEnvironment, missing: str) -> IdMaps:
    """Return the map in which every id that exists outside is itself."""
    if not holds(environment, "CAP_SETFCAP"):
        return IdMaps(
            cause=f"{missing}, and mapping uid 0 needs CAP_SETFCAP",
            remedy="add a range for root to /etc/subuid and /etc/subgid, or give CAP_SETFCAP",
        )
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    return IdMaps(
        uid_map=tuple(_itself(row) for row in outer.uid_map),
        gid_map=tuple(_itself(row) for row in outer.gid_map),
        setgroups=not outer.setgroups_denied,
        chosen="each outer id as itself",
        weaker=True,
        cause=missing,
        remedy="add root:100000:65536 to /etc/subuid and /etc/subgid, or give --userns a map; "
        "until then files of the outer root are the container's own",
    )


def _itself(row: IdMap) -> IdMap:
    return IdMap(inside=row.inside, outside=row.inside, count=row.count)


def _one_id(environment: OuterEnvironment, inside: int, missing: str) -> IdMaps:
    identity = need(environment.identity, Subject.IDENTITY)
    if identity.uid == 0 and not holds(environment, "CAP_SETFCAP"):
        return IdMaps(
            cause=f"{missing}, and mapping uid 0 needs CAP_SETFCAP",
            remedy="give the outer environment CAP_SETFCAP, or run nestbox as another user",
        )
    return IdMaps(
        uid_map=(IdMap(inside=inside, outside=identity.uid, count=1),),
        gid_map=(IdMap(inside=inside, outside=identity.gid, count=1),),
        setgroups=False,
        chosen=f"one id: {inside} is {identity.uid} outside",
        weaker=True,
        cause=missing,
        remedy="install newuidmap and newgidmap, and add USER:100000:65536 to /etc/subuid and "
        "/etc/subgid",
    )


def explicit_maps(rows: tuple[IdMap, ...], environment: OuterEnvironment) -> IdMaps:
    """Return the map that was asked for, or why it cannot be had."""
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    identity = need(environment.identity, Subject.IDENTITY)
    for row in rows:
        if not (_covers(outer.uid_map, row) and _covers(outer.gid_map, row)):
            return IdMaps(
                cause=f"ids {row.outside} to {row.outside + row.count - 1} do not all exist in "
                "the outer user namespace",
                remedy="map ids that /proc/self/uid_map and gid_map list in their first column",
            )
    if _may_write(environment):
        return _explicit_direct(rows, environment)
    if len(rows) == 1 and rows[0].count == 1 and rows[0].outside == identity.uid:
        found = _one_id(environment, rows[0].inside, "")
        return msgspec.structs.replace(found, weaker=False)
    if _has_tools(environment) and _belong(rows, environment):
        return IdMaps(uid_map=rows, gid_map=rows, with_tools=True, chosen=_listed(rows))
    return IdMaps(
        cause="CAP_SETUID and CAP_SETGID are not both in the outer effective set, and newuidmap "
        "and newgidmap cannot map these ids for our user",
        remedy=f"map one id, --userns 0:{identity.uid}:1, or install newuidmap and newgidmap and "
        "give the user a range in /etc/subuid and /etc/subgid",
    )


def _belong(rows: tuple[IdMap, ...], environment: OuterEnvironment) -> bool:
    """Return whether newuidmap(1) and newgidmap(1) map these ids for our user."""
    tools = need(environment.tools, Subject.TOOLS)
    identity = need(environment.identity, Subject.IDENTITY)
    return all(
        _is_own(row, own, ranges)
        for row in rows
        for own, ranges in ((identity.uid, tools.subuid), (identity.gid, tools.subgid))
    )


def _is_own(row: IdMap, own: int, ranges: tuple[SubordinateIds, ...]) -> bool:
    if row.outside == own and row.count == 1:
        return True
    end = row.outside + row.count
    return any(ids.first <= row.outside and end <= ids.first + ids.count for ids in ranges)


def _explicit_direct(rows: tuple[IdMap, ...], environment: OuterEnvironment) -> IdMaps:
    maps_root = any(row.outside == 0 for row in rows)
    if maps_root and not holds(environment, "CAP_SETFCAP"):
        return IdMaps(
            cause="mapping uid 0 needs CAP_SETFCAP, which is not in the outer effective set",
            remedy="give the outer environment CAP_SETFCAP, or map other ids",
        )
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    return IdMaps(
        uid_map=rows, gid_map=rows, setgroups=not outer.setgroups_denied, chosen=_listed(rows)
    )


def _listed(rows: tuple[IdMap, ...]) -> str:
    return ", ".join(f"{row.inside} to {row.outside} for {row.count}" for row in rows)


def _covers(outer: tuple[IdMap, ...], row: IdMap) -> bool:
    """Return whether every outside id of the row exists in one row of the outer map.

    Source: kernel/user_namespace.c map_id_range_down, which asks one extent.
    """
    return any(
        there.inside <= row.outside and row.outside + row.count <= there.inside + there.count
        for there in outer
    )


def _may_write(environment: OuterEnvironment) -> bool:
    return holds(environment, "CAP_SETUID", "CAP_SETGID")


def _has_tools(environment: OuterEnvironment) -> bool:
    tools = need(environment.tools, Subject.TOOLS)
    return bool(tools.newuidmap and tools.newgidmap)


def _own_ranges(environment: OuterEnvironment) -> tuple[SubordinateIds, SubordinateIds] | None:
    """Return the first ranges of our user that exist in the outer user namespace."""
    tools = need(environment.tools, Subject.TOOLS)
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    uids = next((r for r in tools.subuid if r.count and _covers(outer.uid_map, _row(0, r))), None)
    gids = next((r for r in tools.subgid if r.count and _covers(outer.gid_map, _row(0, r))), None)
    return (uids, gids) if uids and gids else None


def _row(inside: int, ids: SubordinateIds) -> IdMap:
    return IdMap(inside=inside, outside=ids.first, count=min(ids.count, MANY_IDS))
