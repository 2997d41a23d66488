"""The mounts of a configuration, in its order: binds, new file systems and remounts. Pure.

What needs its targets to be made inside it stays writable until the end: a read-only tmpfs and a
read-only /dev. Source: runtime-spec config.md "Mounts".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.policy.config.asked_mount import AskedMount, read_mounts
from nestbox.policy.config.binds import decide_bind, decide_remount
from nestbox.policy.config.file_systems import file_system_options
from nestbox.policy.config.kernel_mounts import mount_proc, mount_sysfs, mount_terminals
from nestbox.policy.config.labels import NO_SELINUX, has_selinux
from nestbox.policy.config.mounted_cgroups import mount_cgroups
from nestbox.policy.config.places import is_bind, mounts_of
from nestbox.policy.config.proc_targets import check_target
from nestbox.policy.launch_spec import MountSpec

if TYPE_CHECKING:
    from nestbox.policy.config.case import Case
    from nestbox.policy.decision import Decision

_SPECIAL: Final = {
    "proc": mount_proc,
    "sysfs": mount_sysfs,
    "cgroup": mount_cgroups,
    "devpts": mount_terminals,
}
_UNLABELLED: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})


class MountsChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The mounts in order, and the remounts that come when everything is in its place."""

    mounts: tuple[MountSpec, ...]
    final: tuple[MountSpec, ...]
    decisions: tuple[Decision, ...]


def decide_mounts(case: Case) -> MountsChoice:
    """Return the mounts of the container.

    Raises:
        UsageError: a mount cannot be made, or would be unsafe.
    """
    mounts: list[MountSpec] = []
    final: list[MountSpec] = []
    decisions: list[Decision] = [*_unlabelled(case)]
    for asked in read_mounts(mounts_of(case.config, case.options), case.root.directory):
        check_target(asked, case)
        specs, found = _decide(asked, case)
        mounts += specs
        decisions += found
        if specs and asked.readonly and "ro" not in specs[0].attributes:
            final.append(_readonly(specs[0]))
    return MountsChoice(mounts=tuple(mounts), final=tuple(final), decisions=tuple(decisions))


def _decide(asked: AskedMount, case: Case) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    """Return what becomes of one mount, which may be several or none."""
    if asked.options.remount:
        return (decide_remount(asked, case),), ()
    if is_bind(asked.mount):
        return (decide_bind(asked, case),), ()
    base = _new_file_system(asked, case)
    special = _SPECIAL.get(asked.mount.type)
    return special(base, case) if special else ((base,), ())


def _new_file_system(asked: AskedMount, case: Case) -> MountSpec:
    mount, options = asked.mount, asked.options
    late = mount.type == "tmpfs" or asked.target == "/dev"
    return MountSpec(
        fstype=mount.type,
        source=mount.source or mount.type,
        target=asked.target,
        attributes=tuple(name for name in options.attributes.set if not (late and name == "ro")),
        options=file_system_options(asked, case),
        propagation=asked.propagation,
        recursive_propagation=asked.recursive_propagation,
        attributes_below=options.recursive.set,
        cleared_below=options.recursive.cleared,
        copy_up=options.copy_up and mount.type == "tmpfs",
        follow_links=asked.follows_links,
        inherit_mode=_inherits(asked),
        label=_label(asked, case),
    )


def _inherits(asked: AskedMount) -> bool:
    """Return whether a tmpfs looks as the directory that it covers."""
    parts = (part for word in asked.options.data for part in word.split(","))
    return asked.mount.type == "tmpfs" and not any(part.startswith("mode=") for part in parts)


def _label(asked: AskedMount, case: Case) -> str:
    """Return the SELinux context of a new file system."""
    wanted = asked.mount.type not in _UNLABELLED and has_selinux(case.environment)
    return case.config.linux.mount_label if wanted else ""


def _unlabelled(case: Case) -> tuple[Decision, ...]:
    """Return the decision about a label that no file system can have here."""
    label = case.config.linux.mount_label
    if not label or has_selinux(case.environment):
        return ()
    wish = case.wish("mount-label", label, "linux.mountLabel")
    short = wish.short("left out", cause=NO_SELINUX, remedy="turn SELinux on, or leave it out")
    return (short,)


def _readonly(made: MountSpec) -> MountSpec:
    """Return the remount that makes a mount read-only when all is in it."""
    return MountSpec(
        fstype="remount",
        source="",
        target=made.target,
        attributes=(*made.attributes, "ro"),
        propagation="",
        follow_links=made.follow_links,
    )
