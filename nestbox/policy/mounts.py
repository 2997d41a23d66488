"""The mounts that every container gets: /proc, /dev, /sys and the cgroup file system. Pure.

As the common engines make them. The ladders: a fresh proc - a bind of the outer one, in the outer
pid namespace; a fresh sysfs - a bind of the outer one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.outer.facts import CgroupMode, Subject
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.subjects import in_initial_namespace, need
from nestbox.policy.wish import by_flag, by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import CgroupHierarchy, Mount, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.network import NetworkChoice
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_SHM_BYTES: Final = 64 << 20
_TTY_GROUP: Final = 5  # gid of tty on all common systems, and what grantpt(3) wants
_CLOSED: Final = ("nosuid", "nodev", "noexec")

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


class MountChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Default mounts in order; ``own_pid`` is false when /proc must be that of the outer ones."""

    mounts: tuple[MountSpec, ...]
    own_pid: bool
    decisions: tuple[Decision, ...]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided before about the container's namespaces and its /dev."""

    new_user_namespace: bool
    network: NetworkChoice
    dev_nodev: bool
    tty_group: bool  # gid 5 exists in the container


def decide_mounts(
    request: RunRequest, profile: Profile, environment: OuterEnvironment, setting: Setting
) -> MountChoice:
    """Return the default mounts, each group with its decision."""
    proc, own_pid, proc_decisions = _proc(profile, environment, setting)
    sysfs, sys_decisions = _sys(profile, environment, setting)
    cgroup, cgroup_decisions = _cgroup(request, profile, environment)
    shm, shm_decisions = _shm(request)
    return MountChoice(
        mounts=(proc, *_dev(setting), shm, _mqueue(), sysfs, *cgroup),
        own_pid=own_pid,
        decisions=(*proc_decisions, *sys_decisions, *cgroup_decisions, *shm_decisions),
    )


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


def _proc(
    profile: Profile, environment: OuterEnvironment, setting: Setting
) -> tuple[MountSpec, bool, tuple[Decision, ...]]:
    wish = by_profile("mount /proc", profile.proc.want, profile.name, profile.proc.policy)
    fresh = MountSpec(fstype="proc", source="proc", target="/proc", attributes=_CLOSED)
    bind = MountSpec(
        fstype="bind", source="/proc", target="/proc", attributes=_CLOSED, recursive=True
    )
    if profile.proc.want == "bind":
        return bind, False, (wish.granted("bind of the outer proc, in the outer pid namespace"),)
    if not setting.new_user_namespace:
        return fresh, True, (wish.granted("a fresh proc"),)
    cause = why_not_fresh("proc", "/proc", need(environment.mounts, Subject.MOUNTS))
    if not cause:
        return fresh, True, (wish.granted("a fresh proc"),)
    remedy = (
        "give the outer container an unmasked /proc; for docker, with --security-opt "
        "systempaths=unconfined"
    )
    decisions = (
        wish.short("bind of the outer proc, masked again", cause=cause, remedy=remedy),
        by_nestbox("pid-namespace", "a new one").short(
            "the outer one, to which the outer proc belongs", cause=cause, remedy=remedy
        ),
    )
    return bind, False, decisions


def _list(paths: tuple[str, ...]) -> str:
    return ", ".join(paths[:6]) + (f" and {len(paths) - 6} more" if len(paths) > 6 else "")


def _dev(setting: Setting) -> tuple[MountSpec, ...]:
    group = (("gid", str(_TTY_GROUP)),) if setting.tty_group else ()
    nodev = ("nodev",) if setting.dev_nodev else ()
    return (
        MountSpec(
            fstype="tmpfs",
            source="tmpfs",
            target="/dev",
            attributes=("nosuid", *nodev, "strictatime"),
            options=(("mode", "755"), ("size", "65536k")),
        ),
        MountSpec(
            fstype="devpts",
            source="devpts",
            target="/dev/pts",
            attributes=("nosuid", "noexec"),
            options=(("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), *group),
        ),
    )


def _shm(request: RunRequest) -> tuple[MountSpec, tuple[Decision, ...]]:
    size = request.shm_bytes or _SHM_BYTES
    mount = MountSpec(
        fstype="tmpfs",
        source="shm",
        target="/dev/shm",
        attributes=_CLOSED,
        options=(("mode", "1777"), ("size", str(size))),
    )
    if request.shm_bytes is None:
        return mount, ()
    wish = by_flag("mount /dev/shm", f"{size} bytes", f"--shm-size {size}")
    return mount, (wish.granted(f"{size} bytes"),)


def _mqueue() -> MountSpec:
    return MountSpec(fstype="mqueue", source="mqueue", target="/dev/mqueue", attributes=_CLOSED)


def _sys(
    profile: Profile, environment: OuterEnvironment, setting: Setting
) -> tuple[MountSpec, tuple[Decision, ...]]:
    wish = by_profile("mount /sys", profile.sys.want, profile.name, profile.sys.policy)
    writable = profile.sys.want == "rw"
    access: tuple[str, ...] = () if writable else ("ro",)
    fresh = MountSpec(fstype="sysfs", source="sysfs", target="/sys", attributes=(*_CLOSED, *access))
    problem = _no_fresh_sysfs(environment, setting)
    if not problem:
        locked = writable and setting.new_user_namespace and _sys_is_ro(environment)
        if not locked:
            return fresh, (wish.granted(f"a fresh sysfs, {profile.sys.want}"),)
        fresh = msgspec.structs.replace(fresh, attributes=(*_CLOSED, "ro"))
        cause = "the outer /sys is read-only, and a user namespace gets no other"
        remedy = "start the outer container with a writable /sys; for docker, with --privileged"
        return fresh, (wish.short("a fresh sysfs, ro", cause=cause, remedy=remedy),)
    bind = MountSpec(
        fstype="bind",
        source="/sys",
        target="/sys",
        attributes=(*_CLOSED, "ro"),
        recursive=True,
    )
    if not writable:
        return bind, (wish.granted("bind of the outer /sys, ro", cause=problem),)
    remedy = "use --network none, or --userns host"
    return bind, (wish.short("bind of the outer /sys, ro", cause=problem, remedy=remedy),)


def _no_fresh_sysfs(environment: OuterEnvironment, setting: Setting) -> str:
    """Return why a fresh sysfs cannot be mounted; empty when it can.

    Source: fs/sysfs/mount.c sysfs_init_fs_context asks for CAP_SYS_ADMIN over the network
    namespace.
    """
    foreign = setting.new_user_namespace or not in_initial_namespace(environment)
    if foreign and not setting.network.own:
        return "a fresh sysfs needs a network namespace of our own, and the network is shared"
    if not setting.new_user_namespace:
        return ""
    return why_not_fresh("sysfs", "/sys", need(environment.mounts, Subject.MOUNTS))


def _sys_is_ro(environment: OuterEnvironment) -> bool:
    mounts = need(environment.mounts, Subject.MOUNTS)
    return all("ro" in mount.options for mount in mounts if mount.fstype == "sysfs")


def _cgroup(
    request: RunRequest, profile: Profile, environment: OuterEnvironment
) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    if request.security.writable_cgroups:
        want = "rw"
        wish = by_flag("mount /sys/fs/cgroup", want, "--security-opt writable-cgroups")
    else:
        want = profile.cgroup.want
        policy = profile.cgroup.policy
        wish = by_profile("mount /sys/fs/cgroup", want, profile.name, policy)
    if want == "none":
        return (), (wish.granted("not mounted"),)
    cgroup = need(environment.cgroup, Subject.CGROUP)
    access = () if want == "rw" else ("ro",)
    match cgroup.mode:
        case CgroupMode.V2:
            mount = _cgroup_mount("cgroup2", "/sys/fs/cgroup", (), access)
            return (mount,), (wish.granted(f"cgroup v2, {want}"),)
        case CgroupMode.V1 | CgroupMode.HYBRID:
            mounts = _cgroup_v1(cgroup.hierarchies, access)
            return mounts, (wish.granted(f"{len(mounts) - 1} cgroup hierarchies, {want}"),)
        case CgroupMode.NONE:
            cause = "no cgroup file system is mounted outside"
            remedy = "mount one outside, for example: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
            return (), (wish.short("not mounted", cause=cause, remedy=remedy),)


def _cgroup_mount(
    fstype: str, target: str, options: tuple[tuple[str, str], ...], access: tuple[str, ...]
) -> MountSpec:
    return MountSpec(
        fstype=fstype,
        source=fstype,
        target=target,
        attributes=(*_CLOSED, "relatime", *access),
        options=options,
    )


def _cgroup_v1(
    hierarchies: tuple[CgroupHierarchy, ...], access: tuple[str, ...]
) -> tuple[MountSpec, ...]:
    """Return a directory for the hierarchies and each of them, named as it is outside.

    Mounted in a new cgroup namespace, each shows what is below the container's own cgroup.
    """
    top = MountSpec(
        fstype="tmpfs",
        source="tmpfs",
        target="/sys/fs/cgroup",
        attributes=(*_CLOSED, "strictatime"),
        options=(("mode", "755"), ("size", "64k")),
    )
    mounts = [top]
    for hierarchy in hierarchies:
        name = hierarchy.mountpoint.rpartition("/")[2]
        fstype = "cgroup2" if hierarchy.version == 2 else "cgroup"
        options = () if hierarchy.version == 2 else _v1_options(hierarchy)
        mounts.append(_cgroup_mount(fstype, f"/sys/fs/cgroup/{name}", options, access))
    return tuple(mounts)


def _v1_options(hierarchy: CgroupHierarchy) -> tuple[tuple[str, str], ...]:
    """Return the options that name an existing hierarchy: ``name=systemd`` or its controllers."""
    pairs = []
    for item in hierarchy.controllers:
        key, _, value = item.partition("=")
        pairs.append((key, value))
    return tuple(pairs)
