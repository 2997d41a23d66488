"""The ids of the program: those of the configuration, as far as they exist and may be set. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, Subject
from nestbox.policy.identity import is_mapped
from nestbox.policy.subjects import holds, need

if TYPE_CHECKING:
    from nestbox.oci.process import User
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.config.limits import Wisher
    from nestbox.policy.decision import Decision


class Ids(msgspec.Struct, frozen=True, kw_only=True):
    """The user namespace that the ids are meant in; maps that are None are not known."""

    own_namespace: bool  # the container has another one than the runtime
    uid_map: tuple[IdMap, ...] | None = None
    gid_map: tuple[IdMap, ...] | None = None
    setgroups: bool = True  # whether it allows setgroups(2)


def outer_ids(environment: OuterEnvironment) -> Ids:
    """Return the ids of the runtime's own user namespace."""
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    return Ids(
        own_namespace=False,
        uid_map=outer.uid_map,
        gid_map=outer.gid_map,
        setgroups=not outer.setgroups_denied,
    )


def decide_groups(
    user: User, ids: Ids, environment: OuterEnvironment, wisher: Wisher
) -> tuple[tuple[int, ...] | None, tuple[Decision, ...]]:
    """Return the supplementary groups, None when those that we have must be kept.

    Raises:
        UsageError: the user or a group does not exist in the container's user namespace.
    """
    _check(user, ids, environment)
    wanted = tuple(dict.fromkeys(user.additional_gids))
    allowed = ids.setgroups and (ids.own_namespace or holds(environment, "CAP_SETGID"))
    if allowed:
        _check_groups(wanted, ids)
        return wanted, ()
    if not wanted:
        return None, ()
    text = ",".join(map(str, wanted))
    wish = wisher("groups", text, "process.user.additionalGids")
    short = wish.short(
        "left out: the outer groups are kept",
        cause="setgroups(2) is not allowed in the user namespace",
        remedy="map more ids with newuidmap and newgidmap, or run as root",
    )
    return None, (short,)


def _check(user: User, ids: Ids, environment: OuterEnvironment) -> None:
    for kind, number, rows in (("gid", user.gid, ids.gid_map), ("uid", user.uid, ids.uid_map)):
        if rows is not None and not is_mapped(number, rows):
            raise UsageError(
                f"cannot set{kind} to unmapped {kind} {number} in user namespace",
                cause=f"the map of the user namespace has no {kind} {number}",
                remedy=f"choose an id that is mapped, or map {number}",
            )
    if ids.own_namespace:
        return
    own = need(environment.identity, Subject.IDENTITY)
    for kind, wanted, have in (("UID", user.uid, own.uid), ("GID", user.gid, own.gid)):
        if wanted != have and not holds(environment, f"CAP_SET{kind}"):
            raise UsageError(
                f"cannot become {kind.lower()} {wanted}",
                cause=f"operation not permitted: CAP_SET{kind} is not in the outer effective set",
                remedy=f"give the outer environment CAP_SET{kind}, or the container a user "
                "namespace",
            )


def _check_groups(wanted: tuple[int, ...], ids: Ids) -> None:
    rows = ids.gid_map
    lost = [str(gid) for gid in wanted if rows is not None and not is_mapped(gid, rows)]
    if lost:
        raise UsageError(
            f"cannot set the additional groups {','.join(lost)}",
            cause="setgroups: invalid argument: they are not in the map of the user namespace",
            remedy="leave them out, or map them",
        )
