"""The cpuset of a container on version 1, which begins empty: no process can enter it like that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.runtime.cgroup.files import read, write
from nestbox.runtime.cgroup.writes import write_setting

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_setting import Setting

_CPUSETS = (("cpuset.cpus", "cpus"), ("cpuset.mems", "mems"))  # with and without prefix


def fill_cpuset(mount: str, directory: str, settings: Sequence[Setting]) -> None:
    """Fill the cpusets of a new cgroup: without processors and memory no process can enter it.

    What the configuration names comes first, as the whole of the parent's could conflict with a
    neighbour's cpuset.cpu_exclusive. Raises LaunchError.
    """
    try:
        chain = [directory]
        while len(chain[-1]) > len(mount) + 1 and not _is_filled(chain[-1]):
            chain.append(os.path.dirname(chain[-1]))
        for current in reversed(chain):
            if current == directory:
                for setting in settings:
                    write_setting(current, setting)
            if len(current) > len(mount):
                _inherit(current, os.path.dirname(current))
    except OSError as error:
        raise LaunchError(
            f"unable to apply cgroup configuration: cannot fill the cpuset {directory}",
            cause=reason(error),
            remedy="see that linux.resources.cpu names processors and memory of the parent cgroup",
        ) from error


def _is_filled(directory: str) -> bool:
    return all(read(directory, _file(directory, names)) for names in _CPUSETS)


def _inherit(directory: str, parent: str) -> None:
    for names in _CPUSETS:
        name = _file(directory, names)
        if not read(directory, name):
            write(directory, name, read(parent, _file(parent, names)))


def _file(directory: str, names: tuple[str, str]) -> str:
    """Return the name that the file has: a hierarchy may be mounted with noprefix."""
    return names[0] if os.path.exists(f"{directory}/{names[0]}") else names[1]
