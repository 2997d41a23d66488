"""Seccomp filter, no_new_privs and the label of a security module. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.errors import Refused
from nestbox.kernel.capabilities import names_in
from nestbox.outer.facts import Subject
from nestbox.policy import seccomp
from nestbox.policy.subjects import need
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.oci.seccomp import LinuxSeccomp
    from nestbox.oci.seccomp_profile import SeccompProfile
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

UNCONFINED: Final = "unconfined"


def wanted_seccomp(request: RunRequest, profile: Profile) -> str:
    """Return which filter is wanted: ``unconfined``, a shipped one (``default``) or a file.

    A file of the user has a slash in it or is named by the flag; the caller reads it.
    """
    return request.security.seccomp or profile.seccomp.want


def decide_seccomp(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    *,
    granted: int,
    filter_profile: SeccompProfile | None,
) -> tuple[LinuxSeccomp | None, Decision]:
    """Return the filter for a container with these capabilities; None leaves it unconfined."""
    want = wanted_seccomp(request, profile)
    if request.security.seccomp is not None:
        wish = by_flag("seccomp", want, f"--security-opt seccomp={want}")
    else:
        wish = by_profile("seccomp", want, profile.name, profile.seccomp.policy)
    if want == UNCONFINED:
        return None, wish.granted("no filter of our own")
    if filter_profile is None:
        raise AssertionError(f"the seccomp profile {want} was not read")
    kernel = need(environment.kernel, Subject.KERNEL)
    capabilities = frozenset(names_in(granted))
    try:
        resolved = seccomp.resolve(
            filter_profile,
            capabilities=capabilities,
            machine=kernel.machine,
            kernel=kernel.version,
        )
    except Refused as error:
        return None, wish.short("no filter", cause=error.cause, remedy=error.remedy)
    allowed = len(seccomp.allowed_syscalls(resolved))
    return resolved, wish.granted(f"{want}: {allowed} system calls allowed, some in part")


def decide_no_new_privs(request: RunRequest, profile: Profile) -> tuple[bool, Decision]:
    """Return whether no_new_privs is set for the container's program."""
    asked = request.security.no_new_privileges
    if asked is not None:
        word = "true" if asked else "false"
        flag = f"--security-opt no-new-privileges={word}"
        return asked, by_flag("no-new-privs", word, flag).granted(word)
    word = "true" if profile.no_new_privs else "false"
    return profile.no_new_privs, by_profile("no-new-privs", word, profile.name).granted(word)


def decide_label(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[Decision, ...]:
    """Return the decision about the security module's label, which can only be kept so far."""
    asked = request.security.apparmor
    if asked is not None:
        wish = by_flag("lsm", asked, f"--security-opt apparmor={asked}")
    else:
        wish = by_profile("lsm", profile.lsm.want, profile.name, profile.lsm.policy)
    if wish.request == "keep":
        return (wish.granted("the outer label is kept"),)
    return (_label(wish, environment),)


def _label(wish: Wish, environment: OuterEnvironment) -> Decision:
    lsm = need(environment.lsm, Subject.LSM)
    label = lsm.label or UNCONFINED
    confined = UNCONFINED not in label and lsm.apparmor_mode != UNCONFINED
    if wish.request == UNCONFINED and not confined:
        return wish.granted("unconfined, as outside")
    if wish.request == label:
        return wish.granted(f"{label}, as outside")
    return wish.short(
        f"{label} is kept",
        cause=f"the outer label is {label}, and nestbox changes no labels yet",
        remedy="start the outer environment with the label that is wanted; for docker, with "
        f"--security-opt apparmor={wish.request}",
    )
