"""Labels of security modules, and through which proc they are written. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.facts import Subject
from nestbox.policy.subjects import in_initial_namespace, need

if TYPE_CHECKING:
    from nestbox.oci.process import Process
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.config.limits import Wisher
    from nestbox.policy.decision import Decision


def has_labels(process: Process) -> bool:
    """Return whether a label of a security module is asked for."""
    return bool(process.apparmor_profile or process.selinux_label)


def has_selinux(environment: OuterEnvironment) -> bool:
    """Return whether SELinux labels anything here; without its facts nothing is to be labelled."""
    return environment.lsm is not None and "selinux" in environment.lsm.active


def decide_labels(
    process: Process, environment: OuterEnvironment, wisher: Wisher
) -> tuple[tuple[str, str], tuple[Decision, ...]]:
    """Return the profile of AppArmor and the label of SELinux, empty where they are left out.

    A module that is not active confines nothing on the machine, so that its label is left out, and
    told. The words are runc's, which refuses.
    """
    if not has_labels(process):
        return ("", ""), ()
    active = need(environment.lsm, Subject.LSM).active
    given, decisions = [], []
    for name, label, place, cause in (
        ("apparmor", process.apparmor_profile, "process.apparmorProfile", _NO_APPARMOR),
        ("selinux", process.selinux_label, "process.selinuxLabel", NO_SELINUX),
    ):
        given.append(label if name in active else "")
        if label:
            wish = wisher(f"label {name}", label, place)
            remedy = f"turn the module on, or leave {place} out"
            decisions.append(
                wish.granted(label)
                if name in active
                else wish.short("left out", cause=cause, remedy=remedy)
            )
    return (given[0], given[1]), tuple(decisions)


_NO_APPARMOR: Final = "apparmor: config provided but apparmor not supported"
NO_SELINUX: Final = "selinux label is specified in config, but selinux is disabled or not supported"


def writes_through_own_proc(
    environment: OuterEnvironment, *, new_user_namespace: bool, own_pids: bool
) -> bool:
    """Return whether labels, sysctls and scores are written through a proc that nobody else sees.

    It cannot have been tampered with (CVE-2025-52881). There is none where the kernel gives no new
    proc; and a profile of AppArmor, as LXC's, sees a file of such a proc under another path than
    its rules mean, and may deny it. Then the outer proc is used, after it was verified.

    ``own_pids`` is whether the container has a pid namespace that is not the runtime's: one of the
    runtime may belong to another user namespace than ours, as with podman's ``--pid=host``.
    """
    lsm = need(environment.lsm, Subject.LSM)
    if lsm.apparmor_mode == "enforce":
        return False
    if not new_user_namespace and in_initial_namespace(environment):
        return True
    if not own_pids:
        return False
    from nestbox.policy.kernel_mounts import why_not_fresh

    return not why_not_fresh("proc", "/proc", need(environment.mounts, Subject.MOUNTS))
