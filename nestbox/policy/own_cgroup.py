"""A cgroup of its own for a container that may make others: an engine, an init. Pure.

What it makes is then below it, shares no name with what is made outside, and goes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.facts import CgroupMode, Subject
from nestbox.policy.cgroup_mounts import cgroup_wish
from nestbox.policy.cgroup_places import place_of
from nestbox.policy.launch_spec import CgroupSpec
from nestbox.policy.subjects import lacks_namespace, need

if TYPE_CHECKING:
    from nestbox.outer.facts import Cgroup, CgroupHierarchy, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

# Those that engines limit by; they are enabled for it where they can be.
_LIMITS: Final = ("memory", "cpu", "pids")

Chosen = tuple[tuple[CgroupSpec, ...], tuple["Decision", ...]]


def own_cgroups(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    limited: tuple[CgroupSpec, ...],
) -> Chosen:
    """Return the cgroups of the container, beside those in which limits are enforced."""
    wish = cgroup_wish(request, profile)
    if wish.request != "rw" or lacks_namespace(environment, "cgroup"):
        return limited, ()
    cgroup = need(environment.cgroup, Subject.CGROUP)
    if cgroup.mode is CgroupMode.NONE:
        return limited, ()
    specs = {spec.parent: spec for spec in limited}
    shared: dict[str, str] = {}
    for hierarchy in cgroup.hierarchies:
        why = _add(specs, hierarchy, cgroup, environment)
        if why:
            shared[hierarchy.mountpoint] = why
    wish = msgspec.structs.replace(wish, subject="cgroup", request="one of its own")
    if not shared:
        return tuple(specs.values()), (wish.granted("one of its own in every hierarchy"),)
    # What cannot be had here is no less than a container gets that asks for no cgroups.
    chosen = f"shares ours in {', '.join(shared)}"
    cause = "; ".join(dict.fromkeys(shared.values()))
    return tuple(specs.values()), (wish.granted(chosen, cause=cause),)


def _add(
    specs: dict[str, CgroupSpec],
    hierarchy: CgroupHierarchy,
    cgroup: Cgroup,
    environment: OuterEnvironment,
) -> str:
    """Add the cgroup in one hierarchy; returns why there is none."""
    own = hierarchy.directory
    if own is None or not hierarchy.writable:
        return f"{own or hierarchy.mountpoint} is not writable"
    if hierarchy.version == 1:
        fill = "cpuset" in hierarchy.controllers
        specs.setdefault(own, CgroupSpec(version=1, parent=own, settings=(), fill=fill))
        return ""
    if cgroup.mode is CgroupMode.HYBRID:
        if not any(spec.version == 2 for spec in specs.values()):
            specs[own] = CgroupSpec(version=2, parent=own, settings=())
        return ""
    return _add_v2(specs, hierarchy, environment)


def _add_v2(
    specs: dict[str, CgroupSpec], hierarchy: CgroupHierarchy, environment: OuterEnvironment
) -> str:
    wanted = [name for name in _LIMITS if name in hierarchy.controllers]
    if not wanted:
        assert hierarchy.directory is not None
        specs.setdefault(
            hierarchy.directory,
            CgroupSpec(version=2, parent=hierarchy.directory, settings=()),
        )
        return ""
    places = [place_of(name, frozenset(wanted), environment) for name in wanted]
    usable = [(name, place) for name, place in zip(wanted, places, strict=True) if place.hierarchy]
    if not usable:
        return places[0].cause
    parent = usable[0][1].parent
    if any(one.version == 2 and one.parent != parent for one in specs.values()):
        return ""  # a process is in one cgroup: that of its limits
    spec = specs.get(parent) or CgroupSpec(version=2, parent=parent, settings=())
    enable = [name for name, place in usable if place.enable and name not in spec.enable]
    specs[parent] = msgspec.structs.replace(
        spec,
        enable=(*spec.enable, *enable),
        nest=spec.nest or usable[0][1].nest,
        scope=usable[0][1].scope,
        divide=not usable[0][1].scope,
    )
    return ""
