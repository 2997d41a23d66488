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
    from nestbox.policy.id_maps import IdMaps


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
    from nestbox.policy.id_maps import explicit_maps

    linux = case.config.linux
    uid_map, gid_map = id_rows(linux.uid_mappings), id_rows(linux.gid_mappings)
    found = explicit_maps(uid_map, gid_map, case.environment)
    if found.refused and not _is_for_the_tools(case):
        raise UsageError(
            "cannot map the ids of the user namespace",
            cause=found.cause,
            remedy=_other_maps(case, found),
        )
    return msgspec.structs.replace(
        choice,
        uid_map=uid_map,
        gid_map=gid_map,
        with_tools=found.with_tools or found.refused,
        setgroups=found.setgroups,
    )


def _other_maps(case: Case, found: IdMaps) -> str:
    """Return what would do instead: fewer ids, or what gives us more of them."""
    if holds(case.environment, *MAPPING_RIGHTS):
        return found.remedy
    from nestbox.policy.map_tools import tools_problem

    own = need(case.environment.identity, Subject.IDENTITY)
    problem = tools_problem(case.environment)
    cure = problem[1] if problem else "give our user ranges of them in /etc/subuid and /etc/subgid"
    return f"map the uid {own.uid} and the gid {own.gid} alone, or {cure}"


def _is_for_the_tools(case: Case) -> bool:
    """Return whether only newuidmap knows what is ours: not all sources of ranges could be read."""
    if holds(case.environment, *MAPPING_RIGHTS):
        return False
    from nestbox.policy.map_tools import tools_problem

    tools = need(case.environment.tools, Subject.TOOLS)
    return bool(tools.subordinate_notes) and tools_problem(case.environment) is None


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
    if not _has_cgroup(case):
        short = wish.short(
            # The words that callers of runc know.
            "the outer one, and no cgroup. Such configuration is strongly discouraged",
            cause="without either nothing tells which processes are the container's, so that some "
            "may outlive it",
            remedy="give it a pid namespace, or a delegated cgroup with linux.cgroupsPath",
        )
        return (short,)
    return (wish.granted("the outer one: the container sees and can signal outer processes"),)


def _has_cgroup(case: Case) -> bool:
    """Return whether the container gets a cgroup; a rootless one does where it may make one."""
    location = case.cgroups
    if location is None or location.named or not location.rootless:
        return True
    hierarchies = need(case.environment.cgroup, Subject.CGROUP).hierarchies
    if location.version == 2:
        from nestbox.policy.config.mounted_cgroups import has_unified

        return has_unified(location, hierarchies[0])
    return bool(location.version) and any(one.writable for one in hierarchies)


def time_offsets(case: Case) -> tuple[tuple[str, int, int], ...]:
    """Return clock, seconds and nanoseconds of each offset. Source: time_namespaces(7)."""
    offsets = case.config.linux.time_offsets
    return tuple((clock, one.secs, one.nanosecs) for clock, one in offsets.items())
