"""What a container uses at this moment, as ``events --stats`` tells it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nestbox.errors import LaunchError, reason
from nestbox.policy.config.cgroup_keys import UNIFIED
from nestbox.runtime.cgroup import stats_v1, stats_v2
from nestbox.runtime.cgroup.stats import Stats
from nestbox.runtime.cgroup.stats_text import page_sizes

if TYPE_CHECKING:
    from nestbox.policy.config.cgroup_location import CgroupLocation

_HUGE_PAGES = "/sys/kernel/mm/hugepages"


def statistics(location: CgroupLocation) -> Stats:
    """Return the counters of the container's cgroups; what no controller counts is 0.

    Raises:
        LaunchError: the cgroup is gone, or a file of it cannot be understood.
    """
    try:
        if location.version == 2:
            return _unified(location.directories[UNIFIED])
        return _v1(location.directories)
    except (OSError, ValueError, IndexError, KeyError) as error:
        cause = reason(error) if isinstance(error, OSError) else f"malformed text: {error}"
        name = error.filename if isinstance(error, OSError) else location.main
        raise LaunchError(
            "unable to get container cgroup stats",
            cause=f"{name}: {cause}",
            remedy="see whether the container still runs",
        ) from error


def _v1(directories: dict[str, str]) -> Stats:
    return Stats(
        cpu=stats_v1.cpu_v1(directories.get("cpu"), directories.get("cpuacct")),
        cpuset=stats_v1.cpuset_v1(directories.get("cpuset")),
        memory=stats_v1.memory_v1(directories.get("memory")),
        pids=stats_v1.pids_v1(directories.get("pids")),
        blkio=stats_v1.blkio_v1(directories.get("blkio")),
        hugetlb=stats_v1.hugetlb_v1(directories.get("hugetlb"), _sizes()),
    )


def _unified(directory: str) -> Stats:
    return Stats(
        cpu=stats_v2.cpu_v2(directory),
        cpuset=stats_v1.NO_CPUSET,
        memory=stats_v2.memory_v2(directory),
        pids=stats_v2.pids_v2(directory),
        blkio=stats_v2.blkio_v2(directory),
        hugetlb=stats_v2.hugetlb_v2(directory, _sizes()),
    )


def _sizes() -> tuple[str, ...]:
    try:
        return page_sizes(os.listdir(_HUGE_PAGES))
    except FileNotFoundError:
        return ()  # a kernel without huge pages
