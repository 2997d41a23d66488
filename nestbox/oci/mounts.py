"""Values of ``mounts``, and the rows of an id map, which mounts and user namespaces share.

Source: runtime-spec 1.3, config.md, "Mounts"; config-linux.md, "User namespace mappings".
"""

import msgspec

from nestbox.oci.numbers import UInt32


class LinuxIDMapping(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"container_id": "containerID", "host_id": "hostID"},
):
    """One row of an id map."""

    container_id: UInt32 = 0
    host_id: UInt32 = 0
    size: UInt32 = 0


class Mount(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"uid_mappings": "uidMappings", "gid_mappings": "gidMappings"},
):
    """One entry of ``mounts``; ``nestbox.oci.options`` reads its options."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[LinuxIDMapping, ...] = ()
    gid_mappings: tuple[LinuxIDMapping, ...] = ()
