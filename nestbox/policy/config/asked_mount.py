"""One mount of a configuration as it was read, with what every kind of mount needs of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import UsageError
from nestbox.oci.mount_options import ConfigMountOptions, read_options
from nestbox.oci.mounts import Mount
from nestbox.policy.config.places import target_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# Where the kernel's own interface is expected: a link must not lead elsewhere.
_UNMOVED_TYPES = frozenset({"proc", "sysfs"})
_UNMOVED_TARGETS = frozenset({"/proc", "/sys", "/dev"})


class AskedMount(msgspec.Struct, frozen=True, kw_only=True):
    """One mount of the configuration."""

    place: str  # "mounts[3]"
    mount: Mount
    target: str
    options: ConfigMountOptions

    @property
    def propagation(self) -> str:
        """The propagation that is asked for last, empty for none."""
        return self.options.propagations[-1][0] if self.options.propagations else ""

    @property
    def recursive_propagation(self) -> bool:
        """Whether a propagation is asked for what is below as well."""
        return any(recursive for _, recursive in self.options.propagations)

    @property
    def readonly(self) -> bool:
        """Whether the mount itself is to be read-only."""
        return "ro" in self.options.attributes.set

    @property
    def follows_links(self) -> bool:
        """Whether links in the root may lead to the target.

        Source: CVE-2023-27561 for proc and sysfs, CVE-2026-41579 for /dev.
        """
        return self.mount.type not in _UNMOVED_TYPES and self.target not in _UNMOVED_TARGETS

    def error(self, cause: str, remedy: str) -> UsageError:
        """Return the error of a mount that cannot be made."""
        what = f'error mounting "{self.mount.source}" to rootfs at "{self.mount.destination}"'
        return UsageError(what, cause=cause, remedy=remedy)


def read_mounts(mounts: Iterable[Mount], root_directory: str) -> tuple[AskedMount, ...]:
    """Return the mounts in their order, read."""
    return tuple(
        AskedMount(
            place=f"mounts[{number}]",
            mount=mount,
            target=target_of(mount.destination, root_directory),
            options=read_options(mount.options),
        )
        for number, mount in enumerate(mounts)
    )
