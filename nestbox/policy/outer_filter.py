"""What the filter that an engine put on us leaves, and what makes up for the rest. Pure.

A filter that answers EPERM to a system call that its author did not know breaks programs that are
newer: a C library takes EPERM for a verdict, and falls back to an older call after ENOSYS alone. Of
several filters on a process the most restrictive action wins, and among equal ones that of the
filter which came last, so that a filter of ours can turn EPERM into ENOSYS and allows nothing.

Source: seccomp(2), "SECCOMP_SET_MODE_FILTER"; kernel/seccomp.c seccomp_run_filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.oci.seccomp import SeccompAction
from nestbox.policy.seccomp import allowed_syscalls
from nestbox.policy.wish import by_nestbox

if TYPE_CHECKING:
    from nestbox.oci.seccomp import LinuxSeccomp
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision

# Calls that the C libraries, or the programs that every image has, do without when they get ENOSYS.
_DONE_WITHOUT: Final = frozenset(
    {
        "clone3", "close_range", "copy_file_range", "epoll_pwait2", "execveat", "faccessat2",
        "fchmodat2", "getrandom", "memfd_create", "mlock2", "openat2", "pidfd_getfd", "pidfd_open",
        "pidfd_send_signal", "preadv2", "pwritev2", "renameat2", "statx",
    }
)  # fmt: skip
_PERMISSIVE: Final = frozenset({SeccompAction.ALLOW, SeccompAction.LOG, SeccompAction.TRACE})
_LET_THROUGH: Final = "let the outer filter allow them; for docker, start the outer container with "
_UNCONFINED: Final = f"{_LET_THROUGH}--security-opt seccomp=unconfined"


def decide_start(environment: OuterEnvironment) -> tuple[bool, tuple[Decision, ...]]:
    """Return whether clone(2) starts the executor, since clone3(2) cannot, and the decision.

    It does the same in more steps: the executor enters its cgroup by itself.
    """
    if environment.seccomp is None or not starts_plainly(environment):
        return False, ()
    error = environment.seccomp.syscalls["clone3"].error
    wish = by_nestbox("start", "clone3(2)")
    cause = f"tried, the outer seccomp filter answers: clone3 {error}"
    return True, (wish.granted("clone(2)", cause=cause, remedy=_UNCONFINED),)


def starts_plainly(environment: OuterEnvironment) -> bool:
    """Return whether clone3(2) was seen to be filtered, and clone(2) not to be."""
    tried = environment.seccomp.syscalls if environment.seccomp else {}
    newer, older = tried.get("clone3"), tried.get("clone")
    return newer is not None and not newer.works and older is not None and older.works


def decide_shim(
    seccomp: LinuxSeccomp | None, environment: OuterEnvironment
) -> tuple[tuple[str, ...], tuple[Decision, ...]]:
    """Return the calls that are answered with ENOSYS before the filter of the container is asked.

    Only those that this filter lets through: what it refuses it refuses in its own way.
    """
    facts = environment.seccomp
    if facts is None or facts.mode == 0:
        return (), ()
    tried = {**facts.syscalls, **facts.fallbacks}
    names = tuple(
        sorted(
            name
            for name in _DONE_WITHOUT.intersection(tried)
            if tried[name].error == "EPERM" and _lets_through(seccomp, name)
        )
    )
    if not names:
        return (), ()
    wish = by_nestbox("seccomp.shim", "newer system calls that programs can do without")
    shimmed = wish.granted(
        f"ENOSYS for {', '.join(names)}",
        cause="tried, the outer seccomp filter answers EPERM, after which a C library does not "
        "fall back to an older call",
        remedy=_UNCONFINED,
    )
    return names, (shimmed,)


def _lets_through(seccomp: LinuxSeccomp | None, name: str) -> bool:
    if seccomp is None or name in allowed_syscalls(seccomp):
        return True
    named = any(name in rule.names for rule in seccomp.syscalls)
    return seccomp.default_action in _PERMISSIVE and not named
