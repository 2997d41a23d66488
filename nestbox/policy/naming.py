"""The container's host name, or why it keeps the outer one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.policy.subjects import lacks_namespace

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.wish import Wish


def decide_hostname(
    wish: Wish, environment: OuterEnvironment
) -> tuple[str | None, tuple[Decision, ...]]:
    """Return the name to set, None to keep the outer one, and what is to be said about it.

    podman's filter lets a container make user namespaces and mounts, but leaves sethostname(2) to
    CAP_SYS_ADMIN of the outer one.
    """
    if lacks_namespace(environment, "uts"):
        cause = "this kernel has no uts namespaces"
        return None, (
            wish.short("the outer one", cause=cause, remedy="use a kernel with CONFIG_UTS_NS"),
        )
    seccomp = environment.seccomp
    trial = None if seccomp is None else seccomp.syscalls.get("sethostname")
    if trial is None or trial.works:
        return wish.request, ()
    kept = wish.short(
        "the outer one",
        cause=f"tried, the outer seccomp filter answers: sethostname {trial.error}",
        remedy="let the outer filter allow it; for podman and docker, with --cap-add SYS_ADMIN or "
        "--security-opt seccomp=unconfined",
    )
    return None, (kept,)
