"""Whom a container's cgroup belongs to. Pure.

Source: runtime-spec config-linux.md "Cgroup ownership"; cgroups(7) "Cgroups delegation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestbox.oci.config import Config
    from nestbox.oci.mounts import Mount
    from nestbox.policy.config.cgroup_location import CgroupLocation

_TYPES = frozenset({"cgroup", "cgroup2"})


def cgroup_owner(config: Config, location: CgroupLocation) -> int | None:
    """Return the uid, as we see it, that is to own the container's cgroup; None: as it was made.

    It is the one of the container's process, and only where the container sees nothing but its
    own cgroup, may write there, and the version is one that can be delegated.
    """
    if location.version != 2 or config.namespace("cgroup") != "":
        return None
    if not any(_is_writable_cgroup(mount) for mount in config.mounts):
        return None
    uid = config.process.user.uid
    if config.namespace("user") is None:
        return uid
    for row in config.linux.uid_mappings:
        if row.container_id <= uid < row.container_id + row.size:
            return row.host_id + uid - row.container_id
    return None


def _is_writable_cgroup(mount: Mount) -> bool:
    if mount.type not in _TYPES or mount.destination.rstrip("/") != "/sys/fs/cgroup":
        return False
    last = [option for option in mount.options if option in {"ro", "rw", "rro"}][-1:]
    return last in ([], ["rw"])
