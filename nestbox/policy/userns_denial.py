"""Why no new user namespace can be made here, or none that is of use, and what to change. Pure.

What was tried says that it fails; which of the reasons it is follows from the other facts, the most
certain first. Source: kernel/user_namespace.c create_user_ns, kernel/ucount.c, user_namespaces(7),
security/apparmor (unprivileged_userns), Documentation/admin-guide/sysctl/user.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.facts import Subject
from nestbox.policy.subjects import holds, lacks_namespace, need
from nestbox.policy.userns_reasons import (
    by_elimination,
    by_module,
    chrooted,
    filtered,
    restricted,
    seen_filtered,
    switched_off_for_users,
    unmapped_caller,
)

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, Trial
    from nestbox.policy.userns_reasons import Denial

# Those that every container has; of the others, one that the kernel lacks is done without.
_NEEDED: Final = ("user", "mnt", "pid", "ipc", "uts", "net", "cgroup")
_REFUSALS: Final = frozenset({"EPERM", "EACCES", "KILLED", "ENOSYS"})
_NEVER_USED_UP: Final = 1_000_000
_ENOUGH: Final = 15000


def user_namespace_denial(environment: OuterEnvironment) -> Denial | None:
    """Return why no user namespace can be made, and the remedy; None when one can."""
    failed = _first_failure(environment)
    if failed is None:
        return _void(environment)
    name, trial = failed
    if trial.error in {"ENOSPC", "EUSERS"}:
        return _used_up(name, trial, environment)
    if name != "user":
        return _void_rights(f"making a {name} namespace in it", trial, environment)
    if trial.error == "EINVAL" or _is_missing(environment, "user"):
        return (
            f"this kernel has no user namespaces (CONFIG_USER_NS): trying gave {trial.error}",
            "use a kernel that is built with it, or run nestbox as root with CAP_SYS_ADMIN",
        )
    return _forbidden(trial, environment)


def mount_denial(environment: OuterEnvironment) -> Denial | None:
    """Return who was seen to let nobody mount, whatever the rights; None when nobody was."""
    namespaces = environment.namespaces
    trial = namespaces.user_steps.get("mount") if namespaces else None
    if trial is None or trial.error not in {"EPERM", "EACCES"}:
        return None
    return _unmountable(trial, environment)


def _is_missing(environment: OuterEnvironment, name: str) -> bool:
    """Return whether the kernel is known to have no namespaces of a kind."""
    return environment.kernel is not None and lacks_namespace(environment, name)


def _first_failure(environment: OuterEnvironment) -> tuple[str, Trial] | None:
    trials = need(environment.namespaces, Subject.NAMESPACES).create_with_user
    for name in _NEEDED:
        trial = trials.get(name)
        if trial is None or trial.works:
            continue
        if name == "user" or not _is_missing(environment, name):
            return name, trial
    return None


def _used_up(name: str, trial: Trial, environment: OuterEnvironment) -> Denial:
    """Return that a limit on namespaces is reached; it holds for each user and user namespace."""
    zero = _switched_off(environment)
    if zero:
        return zero
    sysctl = f"user.max_{name}_namespaces"
    text = need(environment.sysctls, Subject.SYSCTLS).get(sysctl)
    limit = int(text) if text and text.isdecimal() and len(text) <= 10 else 0
    said = f"making a {name} namespace gave {trial.error}: the limit {sysctl}"
    if limit > _NEVER_USED_UP:
        deep = name == "user"
        return (
            f"{said} of a user namespace around ours is reached" + ", or they are 33 deep" * deep,
            f"as root in those around, run: sysctl -w {sysctl}={_ENOUGH}"
            + "; or start nestbox less deep" * deep,
        )
    return (
        f"{said} ({text or 'unknown'} for each user here) is reached, here or in a user namespace "
        "around",
        f"as root in each of them, run: sysctl -w {sysctl}={max(2 * limit, _ENOUGH)}",
    )


def _switched_off(environment: OuterEnvironment) -> Denial | None:
    """Return the limits that allow none at all, all of them."""
    sysctls = need(environment.sysctls, Subject.SYSCTLS)
    names = [f"user.max_{name}_namespaces" for name in _NEEDED]
    zero = [name for name in names if sysctls.get(name) == "0"]
    if not zero:
        return None
    verb = "is" if len(zero) == 1 else "are"
    settings = " ".join(f"{name}={_ENOUGH}" for name in zero)
    return f"{' and '.join(zero)} {verb} 0", f"as root outside, run: sysctl -w {settings}"


def _forbidden(trial: Trial, environment: OuterEnvironment) -> Denial:
    """Return who forbids to make a user namespace at all: all that surely do, else who may."""
    surely = [
        _switched_off(environment),
        switched_off_for_users(environment),
        unmapped_caller(environment),
        chrooted(environment),
        restricted(environment),
        seen_filtered(trial, environment),
    ]
    found = [one for one in surely if one]
    if found:
        causes, remedies = zip(*found, strict=True)
        return "; ".join(causes), "; ".join(remedies)
    said = f"a new user namespace was tried and gave {trial.error}"
    return (
        filtered(trial, environment)
        or by_module(said, environment)
        or by_elimination(said, environment)
        or (
            said,
            "let the outer seccomp filter and LSM allow it; for docker, start the outer container "
            "with --security-opt seccomp=unconfined",
        )
    )


def _void(environment: OuterEnvironment) -> Denial | None:
    """Return what keeps a user namespace, which can be made, from being of use."""
    steps = need(environment.namespaces, Subject.NAMESPACES).user_steps
    failed = next(((name, one) for name, one in steps.items() if not one.works), None)
    if failed is None or failed[0] == "make":
        return None
    name, trial = failed
    if name == "rights":
        return _void_rights("using a capability over it", trial, environment)
    if name == "mount":
        return _unmountable(trial, environment)
    if trial.error in {"EPERM", "EACCES"}:
        if _is_no_evidence(environment):
            return None
        return _void_rights(f"writing its {name}", trial, environment)
    return (
        f"/proc/self/{name} of a new user namespace cannot be written: {trial.error}",
        "mount a writable proc file system: mount -t proc proc /proc",
    )


def _unmountable(trial: Trial, environment: OuterEnvironment) -> Denial:
    """Return who lets nobody mount: a user namespace with all its rights does not help there.

    Source: security/landlock/fs.c hook_sb_mount; Documentation/userspace-api/landlock.rst.
    """
    said = f"in a new user namespace changing a mount gave {trial.error}"
    tried = environment.seccomp.syscalls if environment.seccomp else {}
    if "mount" in tried and not tried["mount"].works:
        by_filter = filtered(trial, environment)
        if by_filter:
            return by_filter
    lsm = environment.lsm
    if lsm is not None and (lsm.apparmor_mode == "enforce" or "selinux" in lsm.active):
        known = by_module(said, environment)
        if known:
            return known
    return (
        f"{said}, as it does in a Landlock sandbox",
        "start nestbox outside of the sandbox around it: Landlock lets nobody in it mount",
    )


def _is_no_evidence(environment: OuterEnvironment) -> bool:
    """Return whether a map failed for a reason of its own: it was of our own id, which is 0."""
    own = need(environment.identity, Subject.IDENTITY).uid
    return own == 0 and not holds(environment, "CAP_SETFCAP")


def _void_rights(what: str, trial: Trial, environment: OuterEnvironment) -> Denial:
    """Return why a user namespace gives no rights: it was made, and what needs one failed."""
    said = f"a user namespace can be made, but {what} gave {trial.error}"
    if trial.error in _REFUSALS:
        known = by_module(said, environment) or filtered(trial, environment)
        if known:
            return known
    return (
        f"{said}, so it gives no rights",
        "let the outer seccomp filter and LSM allow it; for docker, start the outer container with "
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined",
    )
