"""What --debug tells of a launch: its stages, in words of runc by which its callers find them."""

from __future__ import annotations

_TSYNC = 1  # SECCOMP_FILTER_FLAG_TSYNC of seccomp(2)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import Log


def tell_spawned(log: Log, pid: int, steps: int) -> None:
    """Tell that the executor runs and has its plan."""
    log.debug(f"nsexec container setup: process {pid} is to do {steps} steps")


def tell_waiting(log: Log) -> None:
    """Tell that the container is made and waits for its start."""
    log.debug("child process in init(): everything is made, it waits for its start")


def tell_started(log: Log) -> None:
    """Tell that the program of the container runs."""
    log.debug("init: closing the pipe to signal completion: the program runs")


def tell_executed(log: Log) -> None:
    """Tell that a further program runs in a container."""
    log.debug("child process in init(), setns_init: about to exec: the program runs")


def tell_affinity(log: Log, pid: int, processors: set[int]) -> None:
    """Tell on which processors a process is until it is in its cgroup."""
    mask = sum(1 << number for number in processors)
    log.debug(f"nsexec[{pid}]: affinity: {mask:#x}")


def tell_filter(log: Log, flags: int) -> None:
    """Tell the flags with which the filter is loaded: TSYNC is left to who has several threads."""
    log.debug(f"seccomp filter flags: {flags & ~_TSYNC}")
