"""The cgroups of ``nestbox run``: where limits are enforced, or the container makes others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError
from nestbox.policy.config.cgroup_setting import Setting
from nestbox.runtime.cgroup.files import why, write
from nestbox.runtime.cgroup.tree import enter_directory
from nestbox.runtime.cgroup.writes import apply_group

if TYPE_CHECKING:
    from nestbox.policy.launch_spec import CgroupSpec

PREFIX = "nestbox-"


def directory_of(spec: CgroupSpec, container: str) -> str:
    """Return the directory of the container's cgroup in one hierarchy."""
    return f"{spec.parent}/{PREFIX}{container}{'.scope' if spec.scope else ''}"


def create(spec: CgroupSpec, container: str) -> None:
    """Make the container's cgroup and write its limits; a scope is made when it is entered.

    Raises:
        LaunchError: the kernel refused one of them; the message names the file and value.
    """
    if spec.scope:
        return
    directory = directory_of(spec, container)
    if spec.nest:
        from nestbox.runtime.cgroup.nesting import nest

        nest(spec.parent, spec.enable)
    try:
        for controller in () if spec.nest else spec.enable:
            write(spec.parent, "cgroup.subtree_control", f"+{controller}")
        os.mkdir(directory, 0o755)
    except OSError as error:
        raise _failed(f"make the cgroup {directory}", error) from error
    if spec.fill:
        from nestbox.runtime.cgroup.cpuset import fill_cpuset

        fill_cpuset(spec.parent, directory, ())
    _limit(spec, directory)


def divide(spec: CgroupSpec, container: str) -> None:
    """Move what is in the container's cgroup to a leaf of it, and enable all that it has below.

    Raises LaunchError.
    """
    from nestbox.runtime.cgroup.files import read
    from nestbox.runtime.cgroup.nesting import nest

    directory = directory_of(spec, container)
    try:
        controllers = read(directory, "cgroup.controllers").split()
    except OSError as error:
        raise _failed(f"read cgroup.controllers of {directory}", error) from error
    nest(directory, controllers)


def _limit(spec: CgroupSpec, directory: str) -> None:
    wanted = [_setting(*pair) for pair in spec.settings]
    wanted += [_setting(*pair, optional=True) for pair in spec.optional]
    apply_group(spec.version, directory, wanted)


def _setting(file: str, value: str, *, optional: bool = False) -> Setting:
    return Setting(file.partition(".")[0], file, value, optional)


def enter(
    spec: CgroupSpec, container: str, pid: int, *, environment: Mapping[str, str] = os.environ
) -> None:
    """Move a process into the container's cgroup. Raises LaunchError."""
    directory = directory_of(spec, container)
    if spec.scope:
        from nestbox.runtime.cgroup.scope import start_scope

        start_scope(spec, directory, container, pid, environment)
        _limit(spec, directory)
        return
    try:
        enter_directory(directory, pid)
    except OSError as error:
        raise _failed(f"move process {pid} to {directory}", error) from error


def _failed(what: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"cannot {what}",
        cause=why(error),
        remedy="run `nestbox doctor`: it says which controllers can be used here",
    )
