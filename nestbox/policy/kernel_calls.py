"""Whether the kernel, and the filter that an outer engine put on us, lets a launch happen. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.facts import Subject
from nestbox.policy.subjects import need
from nestbox.policy.wish import by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision

_OLDEST: Final = (5, 12)  # mount_setattr(2)
_NEEDED: Final = (
    "clone3", "unshare", "execveat", "openat2", "open_tree", "mount_setattr", "move_mount",
    "fsopen", "fsconfig", "fsmount", "pivot_root", "umount2", "capset", "prctl",
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
            cause=f"this is Linux {kernel.release}, and mount_setattr(2) came with {oldest}",
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
    lacking = {name: error for name, error in failed.items() if name != "keyctl"}
    filtered = environment.seccomp.mode == 2
    decisions = []
    if lacking:
        decisions.append(
            wish.refused(cause=_answers(lacking, filtered=filtered), remedy=_REMEDY[filtered])
        )
    if "keyctl" in failed:
        keyring = by_nestbox("keyring", "a session keyring of its own")
        cause = _answers({"keyctl": failed["keyctl"]}, filtered=filtered)
        decisions.append(
            keyring.short("the outer one is shared", cause=cause, remedy=_REMEDY[filtered])
        )
    return "keyctl" not in failed, tuple(decisions)


_REMEDY: Final = {
    True: "let the outer filter allow them; for docker, start the outer container with "
    "--security-opt seccomp=unconfined",
    False: "use a kernel that has them and a security module that allows them",
}


def _answers(failed: dict[str, str | None], *, filtered: bool) -> str:
    who = "the outer seccomp filter" if filtered else "the kernel"
    listed = ", ".join(f"{name} {error}" for name, error in failed.items())
    return f"tried, {who} answers: {listed}"
