"""Mount attributes and propagation types by the names of mount(8): the one list of their bits."""

from __future__ import annotations

from nestbox.kernel import constants

# Source: mount_setattr(2).
ATTRIBUTES: dict[str, int] = {
    "ro": constants.MOUNT_ATTR_RDONLY,
    "nosuid": constants.MOUNT_ATTR_NOSUID,
    "nodev": constants.MOUNT_ATTR_NODEV,
    "noexec": constants.MOUNT_ATTR_NOEXEC,
    "relatime": constants.MOUNT_ATTR_RELATIME,
    "noatime": constants.MOUNT_ATTR_NOATIME,
    "strictatime": constants.MOUNT_ATTR_STRICTATIME,
    "nodiratime": constants.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": constants.MOUNT_ATTR_NOSYMFOLLOW,
}

# These three are values of one field, MOUNT_ATTR__ATIME.
ATIME_FIELD: int = constants.MOUNT_ATTR__ATIME
ATIME_ATTRIBUTES = frozenset({"relatime", "noatime", "strictatime"})

# Source: mount(2), "Changing the propagation type of an existing mount".
PROPAGATION: dict[str, int] = {
    "private": constants.MS_PRIVATE,
    "slave": constants.MS_SLAVE,
    "shared": constants.MS_SHARED,
    "unbindable": constants.MS_UNBINDABLE,
}


def attribute_bits(names: tuple[str, ...]) -> int:
    """Return the MOUNT_ATTR_* bits of these attribute names."""
    bits = 0
    for name in names:
        bits |= ATTRIBUTES[name]
    return bits
