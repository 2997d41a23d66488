"""The rights of this thread from two independent sources, which must agree."""

from __future__ import annotations

from nestbox.errors import EnvironmentUnreadable, reason
from nestbox.kernel import procfs, reading, syscalls
from nestbox.kernel.capabilities import HIGHEST_NUMBER
from nestbox.outer.facts import Capabilities, CapabilitySets
from nestbox.outer.sources import Sources, sets_of, unreadable

_STATUS = "/proc/thread-self/status"
_LAST = "/proc/sys/kernel/cap_last_cap"
_FILTER = 2  # SECCOMP_MODE_FILTER
_WHAT = "cannot tell which capabilities this process has"


def _ask_kernel() -> syscalls.ThreadRights:
    """Return what capget(2) and prctl(2) say. Raises EnvironmentUnreadable."""
    try:
        return syscalls.thread_rights()
    except OSError as error:
        raise EnvironmentUnreadable(
            _WHAT,
            cause=f"capget(2) or prctl(2) answered: {reason(error)}",
            remedy="allow both in the seccomp profile of what started this process",
        ) from error


def _check_equal(name: str, from_proc: object, from_kernel: object) -> None:
    """Raise EnvironmentUnreadable unless both sources say the same."""
    if from_proc != from_kernel:
        raise EnvironmentUnreadable(
            _WHAT,
            cause=f"{_STATUS} says {name} is {from_proc} and the kernel says {from_kernel}",
            remedy="check what is mounted over /proc: findmnt -R /proc",
        )


def check_last(from_proc: int | None, from_kernel: int) -> None:
    """Raise EnvironmentUnreadable when cap_last_cap contradicts PR_CAPBSET_READ.

    ``from_proc`` is None where cap_last_cap does not exist: then the search alone decides.
    """
    if from_proc is not None and from_proc != min(from_kernel, HIGHEST_NUMBER):
        raise EnvironmentUnreadable(
            "cannot tell which capabilities this kernel has",
            cause=f"{_LAST} says {from_proc} and PR_CAPBSET_READ goes up to {from_kernel}",
            remedy="check what is mounted over /proc/sys: findmnt -R /proc",
        )


def compare(status: procfs.Status, kernel: syscalls.ThreadRights) -> Capabilities:
    """Return the rights on which both sources agree. Raises EnvironmentUnreadable."""
    sets = sets_of(status)
    asked = CapabilitySets(
        inheritable=kernel.inheritable,
        permitted=kernel.permitted,
        effective=kernel.effective,
        bounding=kernel.bounding,
        ambient=kernel.ambient,
    )
    for name in CapabilitySets.__struct_fields__:
        _check_equal(
            f"the {name} set", f"{getattr(sets, name):016x}", f"{getattr(asked, name):016x}"
        )
    if status.no_new_privs is not None:  # Linux 4.10 and later
        _check_equal("no_new_privs", status.no_new_privs, kernel.no_new_privs)
    return Capabilities(
        sets=sets,
        last=kernel.last,
        securebits=kernel.securebits,
        no_new_privs=kernel.no_new_privs,
        filtered=status.seccomp == _FILTER,
    )


def observe_capabilities(sources: Sources) -> Capabilities:
    """Return the rights of the calling thread. Raises EnvironmentUnreadable.

    Source: capabilities(7), proc_pid_status(5), proc_sys_kernel(5).
    """
    status = sources.status
    kernel = _ask_kernel()
    try:
        last: int | None = procfs.parse_number(reading.read_proc(_LAST))
    except FileNotFoundError:
        last = None
    except (OSError, procfs.MalformedText) as error:
        raise unreadable(_LAST, error) from error
    check_last(last, kernel.last)
    return compare(status, kernel)
