"""Namespaces of a configuration: new, joined or the runtime's own, and the ids in them. Pure.

Source: runtime-spec config-linux.md "Namespaces"; namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.oci.linux import NAMESPACES
from nestbox.outer.facts import IdMap, Subject
from nestbox.policy.launch_spec import JoinSpec
from nestbox.policy.subjects import holds, need

if TYPE_CHECKING:
    from nestbox.oci.mounts import LinuxIDMapping
    from nestbox.policy.config.case import Case
    from nestbox.policy.decision import Decision


MAPPING_RIGHTS: Final = ("CAP_SETUID", "CAP_SETGID")  # to map any ids, as user_namespaces(7) says


class NamespaceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What is new and what is joined; the maps are those of the user namespace, if they are known.

    Those of a new one are to be written.
    """

    new: tuple[str, ...]
    joined: tuple[JoinSpec, ...]
    uid_map: tuple[IdMap, ...] = ()
    gid_map: tuple[IdMap, ...] = ()
    with_tools: bool = False
    setgroups: bool = True  # whether the container's user namespace allows setgroups(2)
    decisions: tuple[Decision, ...] = ()


def id_rows(mappings: tuple[LinuxIDMapping, ...]) -> tuple[IdMap, ...]:
    """Return the rows of an id map as the kernel takes them."""
    return tuple(
        IdMap(inside=row.container_id, outside=row.host_id, count=row.size) for row in mappings
    )


def decide_namespaces(case: Case) -> NamespaceChoice:
    """Return the namespaces of the container.

    Raises:
        UsageError: a path is no namespace of its type, or its ids are not those that are given.
    """
    new: list[str] = []
    joined: list[JoinSpec] = []
    for one in case.config.linux.namespaces:
        name = NAMESPACES[one.type]
        if not one.path:
            new.append(name)
            continue
        _check_path(one.type, one.path, case)
        joined.append(JoinSpec(namespace=name, path=one.path))
    choice = NamespaceChoice(
        # The user namespace comes first, since it gives the right to make the others.
        new=tuple(sorted(new, key=lambda name: name != "user")),
        joined=tuple(joined),
        decisions=(*_without_rights(case, new, joined), *_notes(case)),
    )
    if case.joins("user"):
        return _with_joined_maps(choice, case)
    return _with_maps(choice, case) if case.creates("user") else choice


def _check_path(kind: str, path: str, case: Case) -> None:
    facts = case.bundle.namespaces.get(path)
    if facts is None:
        return
    if facts.error:
        raise UsageError(
            f"cannot join the {kind} namespace {path}",
            cause=f"open {path}: {facts.error}",
            remedy="start the container whose namespace it is, or leave the path out",
        )
    if facts.kind != NAMESPACES[kind]:
        found = f"a {facts.kind} namespace" if facts.kind else "no namespace"
        raise UsageError(
            f"cannot join the {kind} namespace {path}",
            cause=f"incorrect namespace type: it is {found}",
            remedy=f"give the path of a {kind} namespace",
        )


def _with_joined_maps(choice: NamespaceChoice, case: Case) -> NamespaceChoice:
    """Return the choice with the maps of the user namespace to join, as far as they are known."""
    linux = case.config.linux
    facts = case.bundle.namespaces.get(case.config.namespace("user") or "")
    if facts is None:
        return choice
    pairs = ((linux.uid_mappings, facts.uid_map), (linux.gid_mappings, facts.gid_map))
    if any(asked and real is not None and id_rows(asked) != real for asked, real in pairs):
        raise UsageError(
            "user namespaces enabled, but both namespace path and non-matching mapping specified",
            cause="the user namespace to join has other ids than the configuration",
            remedy="leave out either the path or the mappings",
        )
    return msgspec.structs.replace(choice, uid_map=facts.uid_map or (), gid_map=facts.gid_map or ())


def _with_maps(choice: NamespaceChoice, case: Case) -> NamespaceChoice:
    """Return the choice with the maps, and with who is to write them."""
    linux = case.config.linux
    uid_map, gid_map = id_rows(linux.uid_mappings), id_rows(linux.gid_mappings)
    tools, setgroups = False, True
    if not holds(case.environment, *MAPPING_RIGHTS):
        own = need(case.environment.identity, Subject.IDENTITY)
        alone = _is_only(own.uid, uid_map) and _is_only(own.gid, gid_map)
        # Whoever maps an id without rights may not drop the groups that deny access.
        tools, setgroups = not alone, not alone
        if tools:
            _check_tools(case)
    return msgspec.structs.replace(
        choice, uid_map=uid_map, gid_map=gid_map, with_tools=tools, setgroups=setgroups
    )


def _is_only(number: int, rows: tuple[IdMap, ...]) -> bool:
    return len(rows) == 1 and rows[0].count == 1 and rows[0].outside == number


def _check_tools(case: Case) -> None:
    tools = need(case.environment.tools, Subject.TOOLS)
    if tools.newuidmap and tools.newgidmap:
        return
    raise UsageError(
        "cannot map the ids of the user namespace",
        cause="without CAP_SETUID and CAP_SETGID several ids need newuidmap and newgidmap, which "
        "were not found on PATH",
        remedy="install the package uidmap (Debian, Ubuntu) or shadow-utils",
    )


def _without_rights(case: Case, new: list[str], joined: list[JoinSpec]) -> tuple[Decision, ...]:
    """Return the refusal of namespaces that we have no right to make or join."""
    if case.has("user") or not (new or joined) or holds(case.environment, "CAP_SYS_ADMIN"):
        return ()
    if case.unprivileged:
        raise UsageError(
            "rootless container requires user namespaces",
            cause="the runtime is not root, and linux.namespaces has no user namespace",
            remedy="add one with mappings, as `spec --rootless` does",
        )
    names = ", ".join((*new, *(one.namespace for one in joined)))
    wish = case.wish("namespaces", names, "linux.namespaces")
    refused = wish.refused(
        cause="operation not permitted: CAP_SYS_ADMIN is not in the outer effective set",
        remedy="give the outer environment CAP_SYS_ADMIN, or the container a user namespace",
    )
    return (refused,)


def _notes(case: Case) -> tuple[Decision, ...]:
    """Return what is as asked and yet may surprise."""
    if case.has("pid"):
        return ()
    wish = case.wish("pid-namespace", "none", "linux.namespaces")
    return (wish.granted("the outer one: the container sees and can signal outer processes"),)


def time_offsets(case: Case) -> tuple[tuple[str, int, int], ...]:
    """Return clock, seconds and nanoseconds of each offset. Source: time_namespaces(7)."""
    offsets = case.config.linux.time_offsets
    return tuple((clock, one.secs, one.nanosecs) for clock, one in offsets.items())
