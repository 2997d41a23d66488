"""The cgroup file system in the container, read-only or writable. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.outer.facts import CgroupMode, Subject
from nestbox.policy.kernel_mounts import CLOSED
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.subjects import lacks_namespace, need
from nestbox.policy.wish import by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest
    from nestbox.policy.wish import Wish


def cgroup_wish(request: RunRequest, profile: Profile) -> Wish:
    """Return how the cgroup file system is asked for: ro, rw or none."""
    subject = "mount /sys/fs/cgroup"
    if request.security.writable_cgroups:
        return by_flag(subject, "rw", "--security-opt writable-cgroups")
    return by_profile(subject, profile.cgroup.want, profile.name, profile.cgroup.policy)


def mount_cgroups(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    """Return the mounts, each of which shows what is below the container's own cgroup."""
    wish = cgroup_wish(request, profile)
    want = wish.request
    if want == "none":
        return (), (wish.granted("not mounted"),)
    if lacks_namespace(environment, "cgroup"):
        cause = (
            "this kernel has no cgroup namespaces, so that all cgroups of the machine would show"
        )
        remedy = "use a kernel with CONFIG_CGROUPS and Linux 4.6 or newer"
        return (), (wish.short("not mounted", cause=cause, remedy=remedy),)
    cgroup = need(environment.cgroup, Subject.CGROUP)
    access = () if want == "rw" else ("ro",)
    match cgroup.mode:
        case CgroupMode.V2:
            mount = _cgroup_mount("cgroup2", "/sys/fs/cgroup", (), access)
            return (mount,), (wish.granted(f"cgroup v2, {want}"),)
        case CgroupMode.V1 | CgroupMode.HYBRID:
            mounts = _cgroup_v1(cgroup.hierarchies, access)
            return mounts, (wish.granted(f"{len(mounts) - 1} cgroup hierarchies, {want}"),)
        case CgroupMode.NONE:
            cause = "no cgroup file system is mounted outside"
            remedy = "mount one outside, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
            return (), (wish.short("not mounted", cause=cause, remedy=remedy),)


def _cgroup_mount(
    fstype: str, target: str, options: tuple[tuple[str, str], ...], access: tuple[str, ...]
) -> MountSpec:
    return MountSpec(
        fstype=fstype,
        source=fstype,
        target=target,
        attributes=(*CLOSED, "relatime", *access),
        options=options,
    )


def _cgroup_v1(
    hierarchies: tuple[CgroupHierarchy, ...], access: tuple[str, ...]
) -> tuple[MountSpec, ...]:
    """Return a directory for the hierarchies and each of them, named as it is outside.

    Mounted in a new cgroup namespace, each shows what is below the container's own cgroup.
    """
    top = MountSpec(
        fstype="tmpfs",
        source="tmpfs",
        target="/sys/fs/cgroup",
        attributes=(*CLOSED, "strictatime"),
        options=(("mode", "755"), ("size", "64k")),
    )
    mounts = [top]
    for hierarchy in hierarchies:
        name = hierarchy.mountpoint.rpartition("/")[2]
        fstype = "cgroup2" if hierarchy.version == 2 else "cgroup"
        options = () if hierarchy.version == 2 else _v1_options(hierarchy)
        mounts.append(_cgroup_mount(fstype, f"/sys/fs/cgroup/{name}", options, access))
    return tuple(mounts)


def _v1_options(hierarchy: CgroupHierarchy) -> tuple[tuple[str, str], ...]:
    """Return the options that name an existing hierarchy: ``name=systemd`` or its controllers."""
    pairs = []
    for item in hierarchy.controllers:
        key, _, value = item.partition("=")
        pairs.append((key, value))
    return tuple(pairs)
