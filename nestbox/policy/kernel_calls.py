"""Whether the kernel, and the filter that an outer engine put on us, lets a launch happen. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import Refused
from nestbox.outer.facts import Subject
from nestbox.policy.decision import Outcome
from nestbox.policy.outer_filter import starts_plainly
from nestbox.policy.subjects import holds, lacks_chroot, need
from nestbox.policy.wish import by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision

_OLDEST: Final = (5, 9)  # close_range(2)
_SETATTR: Final = (5, 12)  # mount_setattr(2)
_NEEDED: Final = (
    "clone3", "unshare", "execveat", "openat2", "open_tree", "mount_setattr", "move_mount",
    "fsopen", "fsconfig", "fsmount", "umount2", "capset", "prctl", "memfd_create",
    "statx",
)  # fmt: skip


def decide_calls(environment: OuterEnvironment) -> tuple[bool, tuple[Decision, ...]]:
    """Return whether a session keyring of its own can be made, and what is in the way of a launch.

    System calls are judged where they were tried: in environments that an engine may have filtered.
    """
    kernel = need(environment.kernel, Subject.KERNEL)
    wish = by_nestbox("kernel", "the system calls of a launch")
    if kernel.version < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        refused = wish.refused(
            cause=f"this is Linux {kernel.release}, and close_range(2) came with {oldest}",
            remedy=f"use Linux {oldest} or newer",
        )
        return False, (refused,)
    if environment.seccomp is None:
        return True, ()
    failed = {
        name: trial.error
        for name, trial in environment.seccomp.syscalls.items()
        if not trial.works and name in (*_NEEDED, "keyctl")
    }
    spared = {"keyctl", "clone3"} if starts_plainly(environment) else {"keyctl"}
    if has_old_mounts(environment):
        spared |= {"mount_setattr"}
    lacking = {name: error for name, error in failed.items() if name not in spared}
    filtered = environment.seccomp.mode == 2
    decisions = []
    if lacking:
        remedy = _remedy(environment) if filtered else _REMEDY[filtered]
        decisions.append(wish.refused(cause=_answers(lacking, filtered=filtered), remedy=remedy))
    if "keyctl" in failed:
        keyring = by_nestbox("keyring", "a session keyring of its own")
        cause = _answers({"keyctl": failed["keyctl"]}, filtered=filtered)
        decisions.append(
            keyring.short("the outer one is shared", cause=cause, remedy=_REMEDY[filtered])
        )
    return "keyctl" not in failed, tuple(decisions)


def has_old_mounts(environment: OuterEnvironment) -> bool:
    """Return whether the kernel is older than mount_setattr(2), so that mount(2) changes mounts.

    What is lost with it are id-mapped mounts.
    """
    return need(environment.kernel, Subject.KERNEL).version < _SETATTR


def decide_old_mounts(environment: OuterEnvironment, entry: str) -> tuple[Decision, ...]:
    """Return the refusal of a root that is entered where mount(2) cannot change detached mounts.

    It can in a mount namespace of the container's own: in that of others everybody would see how.
    """
    if entry != "chroot" or not has_old_mounts(environment):
        return ()
    kernel = need(environment.kernel, Subject.KERNEL)
    refused = by_nestbox("kernel", "mounts in the mount namespace that we are in").refused(
        cause=f"this is Linux {kernel.release}, and mount_setattr(2) came with 5.12",
        remedy="give the container a mount namespace of its own",
    )
    return (refused,)


def calls_refusal(environment: OuterEnvironment) -> Refused | None:
    """Return the refusal of a launch for want of system calls, None when it has them."""
    _, decisions = decide_calls(environment)
    stopped = next((one for one in decisions if one.outcome is Outcome.REFUSED), None)
    if stopped is None:
        return None
    return Refused(f"cannot give {stopped.request}", cause=stopped.cause, remedy=stopped.remedy)


def with_consequences(
    calls: tuple[Decision, ...], decisions: tuple[Decision, ...]
) -> tuple[Decision, ...]:
    """Return the decisions, where those that fail by what failed first have its cause and remedy.

    What was tried through a filter says nothing about what would work without it, so that one
    change is named and not one for each thing that needs the calls.
    """
    refused = (one for one in (*calls, *decisions) if one.outcome is Outcome.REFUSED)
    stopped = next((one for one in refused if one.subject in _FIRST), None)
    if stopped is None:
        return decisions
    return tuple(
        msgspec.structs.replace(one, cause=stopped.cause, remedy=stopped.remedy)
        if one.outcome is Outcome.REFUSED and _follows(one)
        else one
        for one in decisions
    )


def _follows(decision: Decision) -> bool:
    """Return whether what the filter's remedy gives makes this possible, or needless."""
    if decision.subject == "user-namespace" and decision.request == "host":
        return True
    tried = any(sign in decision.cause for sign in _SIGNS)
    return decision.subject in {"user-namespace", "root"} and tried


_FIRST: Final = frozenset({"kernel", "user-namespace"})
_SIGNS: Final = ("gave EPERM", "gave ENOSYS", "gave KILLED")
_REMEDY: Final = {
    True: "let the outer filter allow them; for docker, start the outer container with "
    "--security-opt seccomp=unconfined",
    False: "use a kernel that has them and a security module that allows them",
}


def _remedy(environment: OuterEnvironment) -> str:
    """Return the least that is enough: a capability, where engines tie their filters to it.

    Source: profiles/seccomp of moby and of container-libs, which allow the calls of mounting and
    of namespaces to a container that has CAP_SYS_ADMIN, and pivot_root(2) not always.
    """
    lsm = environment.lsm
    confined = lsm is not None and lsm.apparmor_mode == "enforce"
    label = lsm.label if lsm else None
    profile = f" --security-opt apparmor=unconfined (AppArmor's {label} denies mounts)" * confined
    if holds(environment, "CAP_SYS_ADMIN"):
        return f"{_REMEDY[True]}{profile}"
    is_root = need(environment.identity, Subject.IDENTITY).uid == 0
    enters = lacks_chroot(environment, new_user_namespace=not is_root)
    also = " --cap-add SYS_CHROOT" * enters
    return (
        f"start the outer container with --cap-add SYS_ADMIN{also}{profile}: the filters of "
        "docker and podman allow them to a container that has it"
    )


def _answers(failed: dict[str, str | None], *, filtered: bool) -> str:
    who = "the outer seccomp filter" if filtered else "the kernel"
    listed = ", ".join(f"{name} {error}" for name, error in failed.items())
    return f"tried, {who} answers: {listed}"
