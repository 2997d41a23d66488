"""Names of systemd's units for a container, and the cgroups that they mean. Pure.

Source: systemd.slice(5), systemd.unit(5).
"""

from __future__ import annotations

from typing import Final

import msgspec

from nestbox.errors import ConfigError

_SLICE: Final = ".slice"
_REMEDY: Final = "give linux.cgroupsPath as slice:prefix:name, for example system.slice:docker:web"


class SystemdName(msgspec.Struct, frozen=True):
    """The three parts of a cgroupsPath for systemd: slice, prefix of the scope, name."""

    slice: str
    prefix: str
    name: str

    @property
    def unit(self) -> str:
        """The unit: a scope, unless the name is that of a slice."""
        return self.name if self.name.endswith(_SLICE) else f"{self.prefix}-{self.name}.scope"


def systemd_name(path: str | None, default: SystemdName) -> SystemdName:
    """Return the unit that a cgroupsPath names, or the default without one.

    Raises:
        ConfigError: it is not of the form slice:prefix:name, or a part has a slash or a NUL.
    """
    if not path:
        return default
    parts = path.split(":")
    if len(parts) != 3:
        raise ConfigError(
            f"cannot use the cgroup path {path!r}",
            cause='expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, '
            f'got "{path}" instead',
            remedy=_REMEDY,
        )
    name = SystemdName(parts[0] or default.slice, parts[1], parts[2])
    if not name.name or any(character in path for character in "/\0\n"):
        raise ConfigError(
            f"cannot use the cgroup path {path!r}",
            cause="it has no name, or a character that no unit has in its name",
            remedy=_REMEDY,
        )
    return name


def expand_slice(name: str) -> str:
    """Return the cgroup of a slice: ``a-b.slice`` is ``/a.slice/a-b.slice``, ``-.slice`` is ``/``.

    Raises:
        ConfigError: it is no name of a slice.
    """
    stem = name.removesuffix(_SLICE)
    if stem == "-" and name != stem:
        return "/"
    parts = stem.split("-")
    if not name.endswith(_SLICE) or "/" in name or not all(parts):
        raise ConfigError(
            f"cannot use the slice {name!r}",
            cause="invalid slice name: its parts are joined by single dashes and it ends with "
            ".slice",
            remedy=_REMEDY,
        )
    return "".join(f"/{'-'.join(parts[: end + 1])}{_SLICE}" for end in range(len(parts)))
