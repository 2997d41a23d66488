"""The cgroups of ``nestbox run``: only those in which a limit is to be enforced."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_setting import Setting
from nestbox.runtime.cgroup.files import write
from nestbox.runtime.cgroup.tree import enter_directory
from nestbox.runtime.cgroup.writes import apply_group

if TYPE_CHECKING:
    from nestbox.policy.launch_spec import CgroupSpec

PREFIX = "nestbox-"


def directory_of(spec: CgroupSpec, container: str) -> str:
    """Return the directory of the container's cgroup in one hierarchy."""
    return f"{spec.parent}/{PREFIX}{container}"


def create(spec: CgroupSpec, container: str) -> None:
    """Make the container's cgroup and write its limits.

    Raises:
        LaunchError: the kernel refused one of them; the message names the file and value.
    """
    directory = directory_of(spec, container)
    try:
        for controller in spec.enable:
            write(spec.parent, "cgroup.subtree_control", f"+{controller}")
        os.mkdir(directory, 0o755)
    except OSError as error:
        raise _failed(f"make the cgroup {directory}", error) from error
    wanted = [_setting(*pair) for pair in spec.settings]
    wanted += [_setting(*pair, optional=True) for pair in spec.optional]
    apply_group(spec.version, directory, wanted)


def _setting(file: str, value: str, *, optional: bool = False) -> Setting:
    return Setting(file.partition(".")[0], file, value, optional)


def enter(spec: CgroupSpec, container: str, pid: int) -> None:
    """Move a process into the container's cgroup. Raises LaunchError."""
    directory = directory_of(spec, container)
    try:
        enter_directory(directory, pid)
    except OSError as error:
        raise _failed(f"move process {pid} to {directory}", error) from error


def _failed(what: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"cannot {what}",
        cause=reason(error),
        remedy="run `nestbox doctor`: it says which controllers can be used here",
    )
