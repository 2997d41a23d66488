"""The container's user namespace: none, a new one, or neither can be had. Pure.

The ladder: no new one (we have CAP_SYS_ADMIN) - a new one with many ids - a new one with one id -
refuse. ``nestbox.policy.id_maps`` has the rungs of the ids. Source: user_namespaces(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.outer.facts import IdMap, Subject
from nestbox.policy.decision import Outcome
from nestbox.policy.id_maps import IdMaps, Kept, automatic_maps, explicit_maps
from nestbox.policy.id_rows import MANY_IDS, parse_map
from nestbox.policy.subjects import holds, need
from nestbox.policy.userns_denial import mount_denial, user_namespace_denial
from nestbox.policy.wish import Wish, by_flag, by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_SUBJECT: Final = "user-namespace"
_KEEP: Final = "keep-id"
_MAX_ID: Final = (1 << 32) - 2


class UserNamespaceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the container gets a user namespace of its own, and with which ids."""

    new: bool
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    setgroups: bool = True  # whether setgroups(2) is allowed in it
    with_tools: bool = False  # newuidmap and newgidmap write the maps
    user: str | None = None  # who the program is unless -u says otherwise: "UID:GID"
    decisions: tuple[Decision, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the container can be had neither with nor without one."""
        return any(decision.outcome is Outcome.REFUSED for decision in self.decisions)


def decide_user_namespace(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> UserNamespaceChoice:
    """Return the user namespace of the container.

    Raises:
        UsageError: ``--userns``, ``--uidmap`` or ``--gidmap`` is malformed, or they contradict.
    """
    wish = _wish(request, profile)
    if request.uid_maps or request.gid_maps:
        return _make(wish, environment, _mapped_by_flags(request, environment))
    if wish.request == "host":
        return _stay(wish, environment)
    if wish.request == "auto":
        return _make(wish, environment, automatic_maps(environment))
    if wish.request.partition(":")[0] == _KEEP:
        return _keep(wish, environment)
    rows = parse_map((wish.request,), f"--userns {wish.request!r}", size_optional=False)
    return _make(wish, environment, explicit_maps(rows, _gids_of(rows, environment), environment))


def _wish(request: RunRequest, profile: Profile) -> Wish:
    if request.uid_maps or request.gid_maps:
        flags = [f"--uidmap {text}" for text in request.uid_maps]
        flags += [f"--gidmap {text}" for text in request.gid_maps]
        if request.user_namespace is not None:
            raise UsageError(
                f"--userns {request.user_namespace} with {flags[0]}",
                cause="both say which ids the user namespace has",
                remedy="leave one of them out",
            )
        maps = " ".join((*request.uid_maps, *request.gid_maps))
        return by_flag(_SUBJECT, maps, " ".join(flags))
    asked = request.user_namespace
    if asked is not None:
        return by_flag(_SUBJECT, asked, f"--userns {asked}")
    choice = profile.user_namespace
    return by_profile(_SUBJECT, choice.want, profile.name, choice.policy)


def _mapped_by_flags(request: RunRequest, environment: OuterEnvironment) -> IdMaps:
    """Return the maps of --uidmap and --gidmap; one alone is meant for both, as podman has it."""
    uids = parse_map(request.uid_maps, "--uidmap", size_optional=True) if request.uid_maps else ()
    gids = parse_map(request.gid_maps, "--gidmap", size_optional=True) if request.gid_maps else ()
    return explicit_maps(uids or gids, gids or uids, environment)


def _gids_of(rows: tuple[IdMap, ...], environment: OuterEnvironment) -> tuple[IdMap, ...]:
    """Return the gids of a map that names ids of both kinds: our own uid stands for our own gid."""
    own = need(environment.identity, Subject.IDENTITY)
    if len(rows) == 1 and rows[0].count == 1 and rows[0].outside == own.uid:
        return (msgspec.structs.replace(rows[0], outside=own.gid),)
    return rows


def _keep(wish: Wish, environment: OuterEnvironment) -> UserNamespaceChoice:
    """Return a new one in which our own ids are the same as outside, or those that are named."""
    own = need(environment.identity, Subject.IDENTITY)
    kept = _parse_keep(wish.request, Kept(uid=own.uid, gid=own.gid))
    made = _make(wish, environment, automatic_maps(environment, kept))
    return msgspec.structs.replace(made, user=f"{kept.uid}:{kept.gid}")


def _parse_keep(text: str, kept: Kept) -> Kept:
    """Return what ``keep-id[:uid=N][,gid=N]`` says, the other ids as they are."""
    _, separator, settings = text.partition(":")
    given: dict[str, int] = {}
    for item in settings.split(",") if separator else ():
        name, _, value = item.partition("=")
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= 10 else -1
        if name not in {"uid", "gid"} or name in given or not 0 <= number <= _MAX_ID:
            raise UsageError(
                f"--userns {text!r}",
                cause=f"{item!r} is neither uid=N nor gid=N, or is given twice",
                remedy="write keep-id, or keep-id:uid=N,gid=N",
            )
        given[name] = number
    return msgspec.structs.replace(kept, **given)


def _stay(wish: Wish, environment: OuterEnvironment) -> UserNamespaceChoice:
    """Return no new user namespace where we have the rights, else the lenient step down."""
    if holds(environment, "CAP_SYS_ADMIN"):
        denial = mount_denial(environment)
        if denial:
            return _refuse(wish, *denial)
        return UserNamespaceChoice(new=False, decisions=(wish.granted("the outer one"),))
    made = _make(wish, environment, automatic_maps(environment))
    if made.refused:
        first = made.decisions[0]
        both = f"CAP_SYS_ADMIN is not in the outer effective set, and {first.cause}"
        return _refuse(wish, both, first.remedy)
    stepped = wish.short(
        "a new one",
        cause="CAP_SYS_ADMIN is not in the outer effective set, and making namespaces needs it",
        remedy="run nestbox as root with CAP_SYS_ADMIN; capabilities are power over the new "
        "user namespace only",
    )
    return msgspec.structs.replace(made, decisions=(stepped, *made.decisions[1:]))


def _make(wish: Wish, environment: OuterEnvironment, maps: IdMaps) -> UserNamespaceChoice:
    """Return a new user namespace with these maps, or the refusal."""
    denials = [user_namespace_denial(environment)]
    if maps.refused:
        denials.append((maps.cause, maps.remedy))
    found = [denial for denial in denials if denial]
    if found:
        # All of them, so that one change of the outer environment is enough.
        return _refuse(
            wish, *("; ".join(dict.fromkeys(words)) for words in zip(*found, strict=True))
        )
    decisions = [wish.granted(f"a new one, {maps.chosen}")]
    if maps.weaker:
        ids = by_nestbox(f"{_SUBJECT}.ids", f"{MANY_IDS} ids of its own")
        decisions.append(ids.short(maps.chosen, cause=maps.cause, remedy=maps.remedy))
    return UserNamespaceChoice(
        new=True,
        uid_map=maps.uid_map,
        gid_map=maps.gid_map,
        setgroups=maps.setgroups,
        with_tools=maps.with_tools,
        decisions=tuple(decisions),
    )


def _refuse(wish: Wish, cause: str, remedy: str) -> UserNamespaceChoice:
    return UserNamespaceChoice(new=False, decisions=(wish.refused(cause=cause, remedy=remedy),))
