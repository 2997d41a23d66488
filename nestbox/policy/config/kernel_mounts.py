"""A new proc and sysfs, and what takes their place where the kernel gives none. Pure.

Source: fs/namespace.c mnt_already_visible, fs/sysfs/mount.c, fs/proc/root.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.outer.facts import Subject
from nestbox.policy.identity import is_mapped
from nestbox.policy.subjects import need

if TYPE_CHECKING:
    from nestbox.policy.config.case import Case
    from nestbox.policy.decision import Decision
    from nestbox.policy.launch_spec import MountSpec

Made = tuple[tuple["MountSpec", ...], tuple["Decision", ...]]


def mount_proc(base: MountSpec, case: Case) -> Made:
    """Return the proc mount: a new one, else the outer one if its processes are the container's."""
    cause = why_no_proc(case)
    if not cause:
        return (base,), ()
    wish = case.wish(f"mount {base.target}", "a new proc", "mounts")
    if case.has("pid"):
        # The outer proc shows the outer processes, which is what a pid namespace is to prevent.
        refused = wish.refused(
            cause=f"operation not permitted: {cause}",
            remedy="give the outer container an unmasked /proc; for docker, with --security-opt "
            "systempaths=unconfined",
        )
        return (base,), (refused,)
    return (_bind("/proc", base),), (
        wish.granted("bind of the outer proc, whose processes it is to show", cause=cause),
    )


def why_no_proc(case: Case) -> str:
    """Return why the container gets no new proc file system; empty when it gets one."""
    if not case.foreign:
        return ""
    if case.has("user") and not case.has("pid"):
        return "a new proc shows a pid namespace that belongs to another user namespace"
    return _why_none("proc", "/proc", case)


def mount_sysfs(base: MountSpec, case: Case) -> Made:
    """Return the sysfs mount: a new one, else a bind of the outer /sys."""
    cause = _why_no_sysfs(case)
    if not cause:
        return (base,), ()
    wish = case.wish(f"mount {base.target}", "a new sysfs", "mounts")
    bind = _bind("/sys", base)
    if "ro" in base.attributes:
        return (bind,), (wish.granted("bind of the outer /sys, ro", cause=cause),)
    bind = msgspec.structs.replace(bind, attributes=(*bind.attributes, "ro"))
    short = wish.short(
        "bind of the outer /sys, ro",
        cause=cause,
        remedy="give the container a network namespace of its own, or mount /sys read-only",
    )
    return (bind,), (short,)


def _why_no_sysfs(case: Case) -> str:
    if not case.foreign:
        return ""
    shared = not case.has("network") or (case.creates("user") and not case.creates("network"))
    if shared:
        return "a new sysfs shows a network namespace that belongs to another user namespace"
    return _why_none("sysfs", "/sys", case)


def _why_none(fstype: str, place: str, case: Case) -> str:
    """Return why one cannot be mounted: as tried, or in a new user namespace by what covers it."""
    from nestbox.policy.kernel_mounts import why_none, why_not_fresh

    if case.has("user"):
        return why_not_fresh(fstype, place, need(case.environment.mounts, Subject.MOUNTS))
    return why_none(fstype, place, case.environment, new_user_namespace=False)


def mount_terminals(base: MountSpec, case: Case) -> Made:
    """Return the pseudo terminals, for a group that exists: engines ask for that of all machines.

    A container with a user namespace of its own is refused an id that it does not map.
    """
    outer = need(case.environment.user_namespace, Subject.USER_NAMESPACE)
    if outer.initial or case.has("user"):
        return (base,), ()
    maps = {"uid": outer.uid_map, "gid": outer.gid_map}
    unmapped = tuple(
        (key, value)
        for key, value in base.options
        if key in maps and value.isdecimal() and not is_mapped(int(value), maps[key])
    )
    if not unmapped:
        return (base,), ()
    listed = ", ".join(f"{key}={value}" for key, value in unmapped)
    wish = case.wish(f"mount {base.target}", listed, "mounts")
    short = wish.short(
        f"without {listed}",
        cause="the user namespace that we are in does not map it",
        remedy="map the id outside, or leave the option out",
    )
    kept = tuple(pair for pair in base.options if pair not in unmapped)
    return (msgspec.structs.replace(base, options=kept),), (short,)


def _bind(source: str, base: MountSpec) -> MountSpec:
    """Return the bind of an outer tree, with all that is mounted below it, in the same place."""
    return msgspec.structs.replace(
        base,
        fstype="bind",
        source=source,
        options=(),
        recursive=True,
        propagation=base.propagation or "slave",
        recursive_propagation=True,
        on_proc=source == "/proc",
    )
