"""Bind mounts and remounts of a configuration. Pure.

Source: runtime-spec config.md "Mounts"; mount_setattr(2) for id-mapped mounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.policy.config.bind_attributes import (
    BindAttributes,
    free_attributes,
    locked_attributes,
)
from nestbox.policy.config.namespaces import id_rows
from nestbox.policy.config.places import outside, source_in_root
from nestbox.policy.kernel_calls import has_old_mounts
from nestbox.policy.launch_spec import IdMapping, MountSpec

if TYPE_CHECKING:
    from nestbox.policy.config.asked_mount import AskedMount
    from nestbox.policy.config.case import Case


def decide_bind(asked: AskedMount, case: Case) -> MountSpec:
    """Return a bind of a part of the outer tree.

    Raises:
        UsageError: the source is not there, or cannot be had as the options say.
    """
    source = outside(asked.mount.source, case.options)
    _check_source(asked, source, case)
    id_mapping = _id_mapping(asked, case)
    in_root = source_in_root(source, case.root.directory)
    handed_over = in_root is None and (id_mapping is not None or case.hands_over)
    attributes = _attributes(asked, source, case)
    # What is opened outside would otherwise pass its mounts back to the outer namespace.
    isolated = handed_over and not asked.propagation
    return MountSpec(
        fstype="bind",
        source=in_root or source,
        target=asked.target,
        attributes=attributes.set,
        cleared=attributes.cleared,
        recursive=asked.options.recursive_bind,
        recursive_attributes=False,
        attributes_below=asked.options.recursive.set,
        cleared_below=asked.options.recursive.cleared,
        propagation="slave" if isolated else asked.propagation,
        recursive_propagation=isolated or asked.recursive_propagation,
        id_mapping=id_mapping,
        on_proc=asked.target == "/proc" or asked.target.startswith("/proc/"),
        follow_links=asked.follows_links,
        from_root=in_root is not None,
        handed_over=handed_over,
    )


def decide_remount(asked: AskedMount, case: Case) -> MountSpec:
    """Return the change of a mount that is at the target already. Raises UsageError."""
    attributes = locked_attributes(asked, None) if case.foreign else free_attributes(asked)
    return MountSpec(
        fstype="remount",
        source="",
        target=asked.target,
        attributes=attributes.set,
        cleared=attributes.cleared,
        propagation=asked.propagation,
        recursive_propagation=asked.recursive_propagation,
        attributes_below=asked.options.recursive.set,
        cleared_below=asked.options.recursive.cleared,
        follow_links=asked.follows_links,
    )


def _attributes(asked: AskedMount, source: str, case: Case) -> BindAttributes:
    if not case.foreign:
        return free_attributes(asked)
    # In a user namespace that was there before us only the kernel knows what is locked.
    facts = case.bundle.sources.get(source) if case.has("user") else None
    return locked_attributes(asked, facts.attributes if facts else None)


def _check_source(asked: AskedMount, source: str, case: Case) -> None:
    if case.joins("mount"):
        return  # it may exist there alone
    facts = case.bundle.sources.get(source)
    if facts is not None and facts.error:
        cause = f"stat {source}: {facts.error}"
        raise asked.error(cause, f"make {source} there, or leave {asked.place} out")


def _id_mapping(asked: AskedMount, case: Case) -> IdMapping | None:
    """Return by which user namespace a mount is mapped; without rows it is the container's."""
    mount, options = asked.mount, asked.options
    if not (options.id_mapped or mount.uid_mappings or mount.gid_mappings):
        return None
    if case.unprivileged:
        cause = "id-mapped mounts are not supported for rootless containers"
        raise asked.error(cause, f"leave idmap and the mappings of {asked.place} out")
    if has_old_mounts(case.environment):
        cause = "the kernel has no id-mapped mounts: they came with Linux 5.12"
        raise asked.error(cause, f"leave idmap and the mappings of {asked.place} out")
    return IdMapping(
        uid_map=id_rows(mount.uid_mappings),
        gid_map=id_rows(mount.gid_mappings),
        recursive=options.recursive_id_map,
    )
