"""Writing the settings of one controller, those that depend on each other in the order it takes."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.runtime.cgroup.files import read, write

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_setting import Setting


def apply_group(version: int, directory: str, group: Iterable[Setting]) -> list[Setting]:
    """Write the settings of one controller, those that depend on later ones a second time.

    Returned are optional ones of which the kernel has no file. Raises LaunchError.
    """
    absent: list[Setting] = []
    refused: list[tuple[int, Setting, OSError]] = []
    last_written = -1
    for place, setting in enumerate(group):
        try:
            if not write_setting(directory, setting):
                absent.append(setting)
            last_written = place
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise _not_set(version, directory, setting, error) from error
            refused.append((place, setting, error))
    for place, setting, first in refused:
        # Where nothing was written since, the same answer would come again.
        if place > last_written:
            raise _not_set(version, directory, setting, first) from first
        try:
            write_setting(directory, setting)
        except OSError as error:
            raise _not_set(version, directory, setting, error) from error
    return absent


def write_setting(directory: str, setting: Setting) -> bool:
    """Write one setting; return whether the kernel has its file. Raises OSError."""
    file, value = setting.file, setting.value
    try:
        write(directory, file, value)
    except FileNotFoundError:
        if setting.otherwise is None:
            if setting.optional:
                return False
            raise
        file, value = setting.otherwise
        try:
            write(directory, file, value)
        except FileNotFoundError:
            if setting.optional:
                return False
            raise
    if setting.exact:
        _compare(directory, file, value)
    return True


def _compare(directory: str, file: str, value: str) -> None:
    """Refuse a value that the kernel clamped. Raises LaunchError."""
    found = read(directory, file)
    if found != value:
        bound = "maximum" if int(value) > int(found) else "minimum"
        raise LaunchError(
            f"the {bound} allowed {file.replace('.', '-')} is {found}",
            cause=f"the kernel took {found} for {value} in {directory}/{file}",
            remedy=f"ask for {found}",
        )


def _not_set(version: int, directory: str, setting: Setting, error: OSError) -> LaunchError:
    what = f"cannot set {setting.controller} limit: write {setting.value!r} to "
    what += f"{directory}/{setting.file}"
    if error.errno == errno.ENOENT or (version == 2 and error.errno in {errno.EPERM, errno.EACCES}):
        return _no_file(version, directory, setting, what, error)
    if error.errno == errno.EBUSY and setting.file == "memory.limit_in_bytes":
        usage = read(directory, "memory.usage_in_bytes")
        peak = read(directory, "memory.max_usage_in_bytes")
        return LaunchError(
            f"unable to set memory limit to {setting.value} (current usage: {usage}, "
            f"peak usage: {peak})",
            cause="the kernel could not free enough memory",
            remedy="ask for a limit above what the container uses",
        )
    return LaunchError(what, cause=reason(error), remedy="correct linux.resources")


def _no_file(
    version: int, directory: str, setting: Setting, what: str, error: OSError
) -> LaunchError:
    if version == 2:
        try:
            available = read(directory, "cgroup.controllers").split()
        except OSError:
            available = []
        if setting.controller not in {*available, "cgroup"}:
            return LaunchError(
                what,
                cause=f'controller "{setting.controller}" not available: the container\'s cgroup '
                f"has {', '.join(available) or 'none'}",
                remedy=f"let the outer environment delegate {setting.controller}; for systemd, "
                f"with Delegate={setting.controller}",
            )
    return LaunchError(
        what,
        cause=f"{reason(error)}: this kernel's {setting.controller} controller cannot limit that",
        remedy="leave the limit out, or run a kernel with it",
    )
