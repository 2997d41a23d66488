"""Checks of ``root`` and ``mounts``.

Source: runtime-spec 1.3, config.md, "Root" and "Mounts"; mount_setattr(2).
"""

from __future__ import annotations

from collections.abc import Iterator

from nestbox.oci.case import Case
from nestbox.oci.check_namespaces import id_map_problems
from nestbox.oci.mount_options import read_options
from nestbox.oci.mounts import Mount
from nestbox.oci.problem import Problem


def check_root(case: Case) -> Iterator[Problem]:
    """Yield a root without a path."""
    if not case.config.root.path:
        yield Problem(place="$.root.path", cause="must not be empty", remedy="write rootfs")


def check_mounts(case: Case) -> Iterator[Problem]:
    """Yield mounts without a target, and id-mapped ones that are no bind mounts."""
    for index, mount in enumerate(case.config.mounts):
        place = f"$.mounts[{index}]"
        if not mount.destination:
            yield Problem(place=f"{place}.destination", cause="must not be empty")
        options = read_options(mount.options)
        if options.id_mapped or mount.uid_mappings or mount.gid_mappings:
            yield from _id_map(case, place, mount, bind=options.bind)


def _id_map(case: Case, place: str, mount: Mount, *, bind: bool) -> Iterator[Problem]:
    if not bind:
        yield Problem(place=place, cause="id-mapped mounts are supported for bind mounts alone")
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        yield Problem(
            place=place,
            cause="an id-mapped mount needs both uidMappings and gidMappings",
            remedy="set both",
        )
    elif not mount.uid_mappings and not case.has("user"):
        yield Problem(
            place=place,
            cause="an id-mapped mount has neither mappings nor a user namespace to take them from",
            remedy="set uidMappings and gidMappings",
        )
    yield from id_map_problems(f"{place}.uidMappings", mount.uid_mappings)
    yield from id_map_problems(f"{place}.gidMappings", mount.gid_mappings)


def warn_mounts(case: Case) -> Iterator[Problem]:
    """Yield what has no effect, and relative targets, which the specification deprecates."""
    for index, mount in enumerate(case.config.mounts):
        options = read_options(mount.options)
        if options.bind and options.data:
            yield Problem(
                place=f"$.mounts[{index}].options",
                cause=f"a bind mount has no file system options such as {options.data[0]!r}",
                remedy="leave it out",
            )
        if mount.destination and not mount.destination.startswith("/"):
            yield Problem(
                place=f"$.mounts[{index}].destination",
                cause=f"{mount.destination!r} is not absolute, and taken as relative to /",
                remedy=f"write /{mount.destination}",
            )
