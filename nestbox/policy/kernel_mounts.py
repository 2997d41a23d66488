"""/proc and /sys of the container: the ladders of both. Pure.

/proc: a fresh one - a bind of the outer one, in the outer pid namespace - refuse.
/sys: a fresh sysfs - a bind of the outer one, read-only - an empty tmpfs.
A trial tells whether a fresh one can be had, the mounts over the outer one tell why not.

Source: fs/namespace.c mnt_already_visible, fs/proc/root.c, fs/sysfs/mount.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.derived import mount_at, overmounts
from nestbox.outer.facts import Subject
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.subjects import in_initial_namespace, lacks_namespace, need
from nestbox.policy.wish import by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import Mount, OuterEnvironment, Trial
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.wish import Wish

CLOSED: Final = ("nosuid", "nodev", "noexec")

_UNMASKED: Final = (
    "give the outer container an unmasked /proc; for docker, with --security-opt "
    "systempaths=unconfined"
)
# Directories that the kernel keeps empty to be mounted on: what covers them hides nothing.
# Source: fs/namespace.c mnt_already_visible, is_empty_dir_inode.
_EMPTY_BY_KERNEL: Final = frozenset(
    {
        "/proc/fs/nfsd",
        "/proc/openprom",
        "/proc/sys/fs/binfmt_misc",
        "/sys/firmware/efi/efivars",
        "/sys/fs/bpf",
        "/sys/fs/cgroup",
        "/sys/fs/fuse/connections",
        "/sys/fs/pstore",
        "/sys/fs/resctrl",
        "/sys/fs/selinux",
        "/sys/fs/smackfs",
        "/sys/kernel/config",
        "/sys/kernel/debug",
        "/sys/kernel/security",
        "/sys/kernel/tracing",
    }
)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One of the kernel's trees as it is mounted.

    ``covered`` are the paths in it that are covered outside and come along with a bind.
    """

    mount: MountSpec
    covered: tuple[str, ...] = ()
    own_pid: bool = True
    decisions: tuple[Decision, ...]


def show_proc(
    profile: Profile,
    environment: OuterEnvironment,
    *,
    new_user_namespace: bool,
    pid_wish: Wish | None = None,
) -> Shown:
    """Return the container's /proc, and whether it has a pid namespace of its own.

    ``pid_wish`` is what was asked of the pid namespace by name: "private", or "host".
    """
    wish = by_profile("mount /proc", profile.proc.want, profile.name, profile.proc.policy)
    shared = pid_wish is not None and pid_wish.request == "host"
    if pid_wish is not None and shared:
        return _shared_proc(pid_wish, environment, new_user_namespace=new_user_namespace)
    if profile.proc.want == "bind":
        decision = wish.granted("bind of the outer proc, in the outer pid namespace")
        return _bound_proc(environment, (decision,))
    cause = _why_no_proc(environment, new_user_namespace=new_user_namespace)
    pid_wish = pid_wish or by_nestbox("pid-namespace", "a new one")
    if not cause:
        fresh = MountSpec(fstype="proc", source="proc", target="/proc", attributes=CLOSED)
        explicit = (pid_wish.granted("a new one"),) if pid_wish.asked_by != "nestbox" else ()
        return Shown(mount=fresh, decisions=(wish.granted("a fresh proc"), *explicit))
    remedy = _UNMASKED
    if lacks_namespace(environment, "pid"):
        remedy = "use a kernel with CONFIG_PID_NS"
    return _bound_proc(
        environment,
        (
            wish.short("bind of the outer proc, masked again", cause=cause, remedy=remedy),
            pid_wish.short(
                "the outer one, to which the outer proc belongs", cause=cause, remedy=remedy
            ),
        ),
    )


def _shared_proc(
    pid_wish: Wish, environment: OuterEnvironment, *, new_user_namespace: bool
) -> Shown:
    """Return a proc of the outer pid namespace, which only its own user namespace mounts anew."""
    if new_user_namespace or not in_initial_namespace(environment):
        decision = pid_wish.granted("the outer one, with a bind of the outer proc")
        return _bound_proc(environment, (decision,))
    fresh = MountSpec(fstype="proc", source="proc", target="/proc", attributes=CLOSED)
    decision = pid_wish.granted("the outer one, with a fresh proc")
    return Shown(mount=fresh, own_pid=False, decisions=(decision,))


def _bound_proc(environment: OuterEnvironment, decisions: tuple[Decision, ...]) -> Shown:
    bind = MountSpec(
        fstype="bind", source="/proc", target="/proc", attributes=CLOSED, recursive=True
    )
    return Shown(
        mount=bind,
        covered=_covered_in("/proc", environment),
        own_pid=False,
        decisions=decisions,
    )


def _why_no_proc(environment: OuterEnvironment, *, new_user_namespace: bool) -> str:
    if lacks_namespace(environment, "pid"):
        return "this kernel has no pid namespaces"
    return why_none("proc", "/proc", environment, new_user_namespace=new_user_namespace)


def show_sys(
    profile: Profile,
    environment: OuterEnvironment,
    *,
    new_user_namespace: bool,
    own_network: bool,
) -> Shown:
    """Return the container's /sys."""
    wish = by_profile("mount /sys", profile.sys.want, profile.name, profile.sys.policy)
    want = profile.sys.want
    problem = _why_no_sysfs(
        environment, new_user_namespace=new_user_namespace, own_network=own_network
    )
    if problem:
        return _outer_sys(wish, want, problem, environment)
    locked = want == "rw" and new_user_namespace and _sys_is_ro(environment)
    access = ("ro",) if locked or want != "rw" else ()
    fresh = MountSpec(fstype="sysfs", source="sysfs", target="/sys", attributes=(*CLOSED, *access))
    if not locked:
        return Shown(mount=fresh, decisions=(wish.granted(f"a fresh sysfs, {want}"),))
    short = wish.short(
        "a fresh sysfs, ro",
        cause="the outer /sys is read-only, and a user namespace gets no other",
        remedy="start the outer container with a writable /sys; for docker, with --privileged",
    )
    return Shown(mount=fresh, decisions=(short,))


def _outer_sys(wish: Wish, want: str, problem: str, environment: OuterEnvironment) -> Shown:
    """Return what takes the place of a fresh sysfs: the outer one, else nothing."""
    outer = mount_at(need(environment.mounts, Subject.MOUNTS), "/sys")
    if outer is None or outer.fstype != "sysfs" or outer.root != "/" or outer.target != "/sys":
        empty = MountSpec(
            fstype="tmpfs",
            source="tmpfs",
            target="/sys",
            attributes=CLOSED,
            options=(("mode", "755"), ("size", "64k")),
        )
        short = wish.short(
            "an empty tmpfs",
            cause=f"{problem}, and no sysfs is mounted at the outer /sys",
            remedy="outside, run: mount -t sysfs sysfs /sys",
        )
        return Shown(mount=empty, decisions=(short,))
    bind = MountSpec(
        fstype="bind",
        source="/sys",
        target="/sys",
        attributes=(*CLOSED, "ro"),
        recursive=True,
    )
    chosen = "bind of the outer /sys, ro"
    if want != "rw":
        decision = wish.granted(chosen, cause=problem)
    else:
        decision = wish.short(chosen, cause=problem, remedy="use --network none, or --userns host")
    return Shown(mount=bind, covered=_covered_in("/sys", environment), decisions=(decision,))


def _why_no_sysfs(
    environment: OuterEnvironment, *, new_user_namespace: bool, own_network: bool
) -> str:
    """Return why a fresh sysfs cannot be mounted; empty when it can.

    Source: fs/sysfs/mount.c sysfs_init_fs_context asks for CAP_SYS_ADMIN over the network
    namespace.
    """
    foreign = new_user_namespace or not in_initial_namespace(environment)
    if foreign and not own_network:
        return "a fresh sysfs needs a network namespace of our own, and the network is shared"
    return why_none("sysfs", "/sys", environment, new_user_namespace=new_user_namespace)


def _sys_is_ro(environment: OuterEnvironment) -> bool:
    mounts = need(environment.mounts, Subject.MOUNTS)
    return all("ro" in mount.options for mount in mounts if mount.fstype == "sysfs")


def why_none(
    fstype: str, place: str, environment: OuterEnvironment, *, new_user_namespace: bool
) -> str:
    """Return why no fresh proc or sysfs can be mounted; empty when it can.

    In a new user namespace every mount over the outer one counts, as it is locked there; in one
    that we are in already, those that came with it, which only a trial tells apart.
    """
    if not new_user_namespace and in_initial_namespace(environment):
        return ""
    trial = _trial(fstype, environment, new_user_namespace=new_user_namespace)
    mounts = environment.mounts
    if new_user_namespace:
        cause = why_not_fresh(fstype, place, need(mounts, Subject.MOUNTS))
        if cause:
            return cause
    if trial is None or trial.works:
        return ""
    cause = why_not_fresh(fstype, place, mounts) if mounts is not None else ""
    return cause or f"a fresh {fstype} was tried and gave {trial.error}"


def _trial(fstype: str, environment: OuterEnvironment, *, new_user_namespace: bool) -> Trial | None:
    """Return the outcome of mounting it; of a sysfs, read-only is as good as a whole one."""
    namespaces = environment.namespaces
    if namespaces is None:
        return None
    tried = namespaces.mount_with_user if new_user_namespace else namespaces.mount
    return tried.get(f"{fstype} ro") or tried.get(fstype)


def why_not_fresh(fstype: str, place: str, mounts: tuple[Mount, ...]) -> str:
    """Return why a new user namespace gets no fresh proc or sysfs; empty when it does.

    Source: fs/namespace.c mnt_already_visible: some mount of this type must show all of it, where
    what covers a directory that the kernel keeps empty hides nothing.
    """
    whole = [mount for mount in mounts if mount.fstype == fstype and mount.root == "/"]
    if not whole:
        return f"a user namespace gets a fresh {fstype} only where one is mounted in full"
    hidden = min((_covered(mount, place, mounts) for mount in whole), key=len)
    if not hidden:
        return ""
    return f"a user namespace gets no fresh {fstype} while these are mounted over: {_list(hidden)}"


def _covered(whole: Mount, place: str, mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return what is mounted directly on a mount and hides a part of it."""
    return tuple(
        mount.target
        for mount in mounts
        if mount.parent == whole.id
        and mount.id != whole.id
        and place + mount.target[len(whole.target) :] not in _EMPTY_BY_KERNEL
    )


def _covered_in(place: str, environment: OuterEnvironment) -> tuple[str, ...]:
    """Return what is covered below the outer /proc or /sys, and so in a bind of it."""
    mounts = environment.mounts
    if mounts is None:
        return ()
    return tuple(
        mount.target
        for mount in overmounts(mounts, place)
        if mount.target not in _EMPTY_BY_KERNEL and not mount.target.startswith("/sys/fs/cgroup/")
    )


def _list(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:6]) + (f" and {len(paths) - 6} more" if len(paths) > 6 else "")
