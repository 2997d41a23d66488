"""Who forbids user namespaces, or what they are good for: each reason by its facts. Pure.

Source: kernel/user_namespace.c create_user_ns, security/apparmor (unprivileged_userns),
user_namespaces(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.outer.facts import EngineKind, Subject
from nestbox.policy.engine_settings import allow_syscalls
from nestbox.policy.identity import is_mapped
from nestbox.policy.subjects import holds, need

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, Trial

Denial = tuple[str, str]  # cause and remedy

_MODULES: Final = frozenset({"bpf", "landlock", "smack", "tomoyo"})  # without a check of their own
_PIVOT: Final = (
    "enter the root with pivot_root(2) in place of chroot(2), as bwrap, systemd-nspawn and "
    "nestbox run --rootfs DIR do"
)


def switched_off_for_users(environment: OuterEnvironment) -> Denial | None:
    """Return that Debian's sysctl leaves user namespaces to root."""
    name = "kernel.unprivileged_userns_clone"
    sysctls = need(environment.sysctls, Subject.SYSCTLS)
    if sysctls.get(name) != "0" or holds(environment, "CAP_SYS_ADMIN"):
        return None
    return f"{name} is 0", f"as root outside, run: sysctl -w {name}=1"


def restricted(environment: OuterEnvironment, said: str = "") -> Denial | None:
    """Return that Ubuntu's sysctl voids the rights that user namespaces give to users."""
    name = "kernel.apparmor_restrict_unprivileged_userns"
    sysctls = need(environment.sysctls, Subject.SYSCTLS)
    if sysctls.get(name) != "1" or holds(environment, "CAP_SYS_ADMIN"):
        return None
    return (
        f"AppArmor restricts unprivileged user namespaces ({name} is 1){said and ': '}{said}",
        f"as root outside, run: sysctl -w {name}=0; or load a profile with the rule `userns,` for "
        "nestbox",
    )


def unmapped_caller(environment: OuterEnvironment) -> Denial | None:
    """Return that the caller is nobody in its own user namespace."""
    own = need(environment.identity, Subject.IDENTITY)
    outer = need(environment.user_namespace, Subject.USER_NAMESPACE)
    if is_mapped(own.uid, outer.uid_map) and is_mapped(own.gid, outer.gid_map):
        return None
    return (
        f"our ids {own.uid}:{own.gid} are not in the map of our own user namespace, whose members "
        "may then make none",
        "enter the outer environment as a user of its map",
    )


def chrooted(environment: OuterEnvironment) -> Denial | None:
    """Return that our root directory is seen to be that of a chroot."""
    if not need(environment.namespaces, Subject.NAMESPACES).chrooted:
        return None
    return (
        "our root directory is not that of our mount namespace (chroot), and the kernel makes no "
        "user namespace in a chroot",
        _PIVOT,
    )


def by_elimination(said: str, environment: OuterEnvironment) -> Denial | None:
    """Return the last reason of the kernel, which does not show: a chroot into a mount."""
    lsm = environment.lsm
    if lsm is None or set(lsm.active) - {"capability"} or environment.seccomp is None:
        return None
    return (
        f"{said}, and neither a seccomp filter nor a security module is seen: our root directory "
        "is likely that of a chroot, in which the kernel makes none",
        _PIVOT,
    )


def seen_filtered(trial: Trial, environment: OuterEnvironment) -> Denial | None:
    """Return that a filter stops the calls that make namespaces, whatever their arguments."""
    tried = environment.seccomp.syscalls if environment.seccomp else {}
    stopped = [name for name in ("unshare", "clone") if name in tried and not tried[name].works]
    return filtered(trial, environment) if stopped else None


def filtered(trial: Trial, environment: OuterEnvironment) -> Denial | None:
    """Return that a seccomp filter is on us and that nothing else is known to forbid it."""
    rights = need(environment.capabilities, Subject.CAPABILITIES)
    seccomp = environment.seccomp
    on_us = rights.filtered or (seccomp is not None and seccomp.mode == 2)
    if not on_us:
        return None
    engine = environment.engine.kind if environment.engine else EngineKind.UNKNOWN
    remedy = allow_syscalls(("clone", "clone3", "unshare", "setns"), engine)
    if engine in {EngineKind.NONE, EngineKind.UNKNOWN}:
        remedy += " (in a systemd unit: RestrictNamespaces=no)"
    return (
        f"a new user namespace was tried and gave {trial.error}: a seccomp filter is on us",
        remedy,
    )


def by_module(what: str, environment: OuterEnvironment) -> Denial | None:
    """Return that a security module forbids it, where one that does is active."""
    by_sysctl = restricted(environment, what)
    if by_sysctl:
        return by_sysctl
    lsm = environment.lsm
    label = lsm.label if lsm and lsm.label else ""
    if lsm is not None and lsm.apparmor_mode == "enforce":
        return (
            f"{what}, under the AppArmor profile {label}",
            "start the outer container with --security-opt apparmor=unconfined",
        )
    if lsm is not None and "selinux" in lsm.active:
        return (
            f"{what}, under the SELinux label {label}",
            "allow user_namespace create for this label; for docker and podman, start the outer "
            "container with --security-opt label=disable",
        )
    others = [each for each in lsm.active if each in _MODULES] if lsm else []
    if others:
        return (
            f"{what}, and these security modules are active: {', '.join(others)}",
            "let their policy allow it for nestbox",
        )
    return None
