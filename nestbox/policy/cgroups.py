"""Memory, processor and process limits: which cgroup enforces each, or why none can. Pure.

Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from nestbox.outer.facts import Subject
from nestbox.policy.cgroup_places import place_of
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.policy.subjects import need
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy, OuterEnvironment
    from nestbox.policy.cgroup_places import Place
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_PERIOD: Final = 100_000  # microseconds; the kernel's default period of the cpu controller
_MIN_QUOTA: Final = 1_000  # microseconds; min_cfs_quota_period

Settings = tuple[tuple[str, str], ...]


class _Want(NamedTuple):
    """One limit: its controller, its value as text, who asked, and what to write."""

    controller: str
    wish: Wish
    v1: Settings
    v1_optional: Settings
    v2: Settings
    v2_optional: Settings


def decide_limits(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[tuple[CgroupSpec, ...], tuple[Decision, ...]]:
    """Return the cgroups to make, and a decision for each limit that was asked for."""
    wants, decisions = _wants(request, profile, environment)
    specs: dict[str, CgroupSpec] = {}
    together = frozenset(want.controller for want in wants)
    for want in wants:
        place = place_of(want.controller, together, environment)
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
    spec: CgroupSpec | None, want: _Want, place: Place, hierarchy: CgroupHierarchy
) -> CgroupSpec:
    """Return the cgroup with one limit more; limits of one hierarchy share a cgroup."""
    spec = spec or CgroupSpec(version=hierarchy.version, parent=place.parent, settings=())
    v1 = hierarchy.version == 1
    return msgspec.structs.replace(
        spec,
        nest=place.nest,
        scope=place.scope,
        settings=(*spec.settings, *(want.v1 if v1 else want.v2)),
        optional=(*spec.optional, *(want.v1_optional if v1 else want.v2_optional)),
        enable=(*spec.enable, want.controller) if place.enable else spec.enable,
    )
