"""Memory, processor and process limits: which cgroup enforces each, or why none can. Pure.

The ladder on v2: below our own cgroup - when that has processes in it, below the nearest one above
that has none, or has the controllers enabled already, or is the root of the hierarchy - no limit.
On v1 each controller for itself.

Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from nestbox.kernel.namespaces import INITIAL_INODE
from nestbox.outer.derived import hierarchy_of
from nestbox.outer.facts import CgroupMode, Subject
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.policy.subjects import need
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_PERIOD: Final = 100_000  # microseconds; the kernel's default period of the cpu controller
_MIN_QUOTA: Final = 1_000  # microseconds; min_cfs_quota_period

_WRITABLE_REMEDY: Final = (
    "make the cgroup file system writable outside; for docker, with --privileged, or with "
    "--security-opt writable-cgroups=true"
)

Settings = tuple[tuple[str, str], ...]


class _Want(NamedTuple):
    """One limit: its controller, its value as text, who asked, and what to write."""

    controller: str
    wish: Wish
    v1: Settings
    v1_optional: Settings
    v2: Settings
    v2_optional: Settings


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a limit can be enforced; without a parent, why nowhere."""

    hierarchy: CgroupHierarchy | None = None
    parent: str = ""
    enable: bool = False
    note: str = ""
    cause: str = ""
    remedy: str = ""


class _Parent(NamedTuple):
    """A cgroup of v2, what is enabled for its children, and what is or can be."""

    directory: str
    enabled: frozenset[str]
    can: frozenset[str]


def decide_limits(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[tuple[CgroupSpec, ...], tuple[Decision, ...]]:
    """Return the cgroups to make, and a decision for each limit that was asked for."""
    wants, decisions = _wants(request, profile, environment)
    specs: dict[str, CgroupSpec] = {}
    together = frozenset(want.controller for want in wants)
    for want in wants:
        place = _place(want.controller, together, environment)
        if place.hierarchy is None:
            decisions.append(want.wish.short("none", cause=place.cause, remedy=place.remedy))
            continue
        specs[place.parent] = _extended(specs.get(place.parent), want, place, place.hierarchy)
        version = place.hierarchy.version
        decisions.append(want.wish.granted(f"{want.wish.request}, cgroup v{version}{place.note}"))
    return tuple(specs.values()), tuple(decisions)


def _wants(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[list[_Want], list[Decision]]:
    limits = profile.limits
    wants: list[_Want] = []
    decisions: list[Decision] = []
    memory = request.memory_bytes or limits.memory_bytes
    if memory is not None:
        size = size_text(memory)
        named = None if request.memory_bytes is None else size
        wish = _wish("memory", size, named, "--memory", profile)
        wants.append(_memory(wish, memory))
    cpus = request.cpus or limits.cpus
    if cpus is not None:
        named = None if request.cpus is None else f"{request.cpus:g}"
        wish = _wish("cpu", f"{cpus:g} cpus", named, "--cpus", profile)
        decision = _too_many(wish, cpus, environment)
        if decision:
            decisions.append(decision)
        else:
            wants.append(_cpu(wish, cpus))
    pids = request.pids_limit if request.pids_limit is not None else limits.pids
    if pids == -1:
        wish = _wish("pids", "unlimited", str(pids), "--pids-limit", profile)
        decisions.append(wish.granted("none"))
    elif pids is not None:
        named = None if request.pids_limit is None else str(pids)
        wish = _wish("pids", f"{pids} processes", named, "--pids-limit", profile)
        settings = (("pids.max", str(pids)),)
        wants.append(_Want("pids", wish, settings, (), settings, ()))
    return wants, decisions


def size_text(size: int) -> str:
    """Return a size as people write it: 67108864 is 64m; one that is no whole unit is in bytes."""
    for unit, shift in (("g", 30), ("m", 20), ("k", 10)):
        if size >> shift and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return f"{size} bytes"


def _wish(controller: str, text: str, named: str | None, flag: str, profile: Profile) -> Wish:
    subject = f"cgroup.{controller}"
    if named is not None:
        return by_flag(subject, text, f"{flag} {named}")
    return by_profile(subject, text, profile.name, profile.limits.policy)


def _memory(wish: Wish, limit: int) -> _Want:
    """Return the memory limit, with as much swap again as docker allows by default.

    The two versions count differently: v1 limits memory and swap together, v2 swap alone.
    """
    value, both = str(limit), str(2 * limit)
    return _Want(
        "memory",
        wish,
        (("memory.limit_in_bytes", value),),
        (("memory.memsw.limit_in_bytes", both),),
        (("memory.max", value),),
        (("memory.swap.max", value),),
    )


def _cpu(wish: Wish, cpus: float) -> _Want:
    quota = max(_MIN_QUOTA, round(cpus * _PERIOD))
    return _Want(
        "cpu",
        wish,
        (("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", str(quota))),
        (),
        (("cpu.max", f"{quota} {_PERIOD}"),),
        (),
    )


def _too_many(wish: Wish, cpus: float, environment: OuterEnvironment) -> Decision | None:
    available = need(environment.limits, Subject.LIMITS).cpus
    if cpus <= available:
        return None
    return wish.short(
        "none",
        cause=f"only {available} processors can be used here",
        remedy=f"ask for at most {available}",
    )


def _extended(
    spec: CgroupSpec | None, want: _Want, place: _Place, hierarchy: CgroupHierarchy
) -> CgroupSpec:
    """Return the cgroup with one limit more; limits of one hierarchy share a cgroup."""
    spec = spec or CgroupSpec(version=hierarchy.version, parent=place.parent, settings=())
    v1 = hierarchy.version == 1
    return msgspec.structs.replace(
        spec,
        settings=(*spec.settings, *(want.v1 if v1 else want.v2)),
        optional=(*spec.optional, *(want.v1_optional if v1 else want.v2_optional)),
        enable=(*spec.enable, want.controller) if place.enable else spec.enable,
    )


def _place(controller: str, together: frozenset[str], environment: OuterEnvironment) -> _Place:
    """Return where this controller's limit can be enforced, with those that it is asked with."""
    cgroup = need(environment.cgroup, Subject.CGROUP)
    if cgroup.mode is CgroupMode.NONE:
        return _Place(
            cause="no cgroup file system is mounted",
            remedy="mount one outside, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    hierarchy = hierarchy_of(cgroup.hierarchies, controller)
    if hierarchy is None:
        return _Place(
            cause=f"no mounted hierarchy has the {controller} controller (cgroup {cgroup.mode})",
            remedy=f"let the outer environment delegate {controller}; for systemd, with "
            f"Delegate={controller}",
        )
    if hierarchy.version == 1:
        return _place_v1(hierarchy, environment)
    return _place_v2(controller, together, hierarchy, environment)


def _place_v1(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> _Place:
    if hierarchy.directory is None:
        return _hidden(hierarchy)
    if not hierarchy.writable:
        return _read_only(hierarchy, environment)
    return _Place(hierarchy=hierarchy, parent=hierarchy.directory)


def _place_v2(
    controller: str,
    together: frozenset[str],
    hierarchy: CgroupHierarchy,
    environment: OuterEnvironment,
) -> _Place:
    if hierarchy.directory is None:
        return _hidden(hierarchy)
    if not hierarchy.writable:
        return _read_only(hierarchy, environment)
    parent = _best_parent(_parents(hierarchy), together)
    if not parent.can >= together and _is_first(environment):
        parent = _Parent(hierarchy.mountpoint, frozenset(), together)
    if controller in parent.can:
        beside = parent.directory != hierarchy.directory
        return _Place(
            hierarchy=hierarchy,
            parent=parent.directory,
            enable=controller not in parent.enabled,
            note=f", beside our own cgroup {hierarchy.path}, which has processes in it"
            if beside
            else "",
        )
    count = "an unknown number of" if hierarchy.processes is None else str(hierarchy.processes)
    return _Place(
        cause=f"our own cgroup {hierarchy.directory} has {count} processes in it, and controllers "
        "can only be enabled for the children of one without",
        remedy="move the processes of the outer container to a child cgroup first, or set the "
        "limit outside",
    )


def _parents(hierarchy: CgroupHierarchy) -> tuple[_Parent, ...]:
    """Return the cgroups in which the container's can be made, nearest first."""
    assert hierarchy.directory is not None
    free = hierarchy.controllers if hierarchy.processes == 0 else ()
    enabled = frozenset(hierarchy.enabled)
    own = _Parent(hierarchy.directory, enabled, enabled.union(free))
    return own, *(
        _Parent(
            place.directory,
            frozenset(place.enabled),
            frozenset(place.enabled).union(place.controllers if place.takes_controllers else ()),
        )
        for place in hierarchy.above
        if place.writable
    )


def _best_parent(parents: tuple[_Parent, ...], together: frozenset[str]) -> _Parent:
    """Return the nearest with the most of these controllers: a process is in one cgroup of v2."""
    return max(parents, key=lambda parent: len(parent.can & together))


def _is_first(environment: OuterEnvironment) -> bool:
    """Return whether we are in the first cgroup namespace, whose root takes any controller."""
    namespaces = need(environment.namespaces, Subject.NAMESPACES)
    return namespaces.own.get("cgroup") == INITIAL_INODE["cgroup"]


def _hidden(hierarchy: CgroupHierarchy) -> _Place:
    return _Place(
        cause=f"our own cgroup {hierarchy.path} is not visible under {hierarchy.mountpoint}",
        remedy="mount the cgroup file system outside so that our own cgroup is in it",
    )


def _read_only(hierarchy: CgroupHierarchy, environment: OuterEnvironment) -> _Place:
    uid = need(environment.identity, Subject.IDENTITY).uid
    return _Place(
        cause=f"our own cgroup {hierarchy.directory} is not writable",
        remedy=_WRITABLE_REMEDY
        if uid == 0
        else f"run nestbox as root, or let the outer environment delegate the cgroup to uid {uid}",
    )
