"""The mounts that every container gets: /proc, /dev, /sys and the cgroup file system. Pure.

As the common engines make them. ``nestbox.policy.kernel_mounts`` has the ladders of /proc and
/sys; what a kernel was built without is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.policy.cgroup_mounts import mount_cgroups
from nestbox.policy.kernel_mounts import CLOSED, show_proc, show_sys
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.subjects import in_initial_namespace, lacks_file_system, lacks_namespace
from nestbox.policy.wish import by_flag, by_nestbox

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.network import NetworkChoice
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest
    from nestbox.policy.wish import Wish

_SHM_BYTES: Final = 64 << 20
_TTY_GROUP: Final = 5  # gid of tty on all common systems, and what grantpt(3) wants

Made = tuple[tuple[MountSpec, ...], tuple["Decision", ...]]


class MountChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Default mounts in order; ``own_pid`` is false when /proc must be that of the outer ones.

    ``covered`` are paths of /proc and /sys that stay covered as they are outside.
    """

    mounts: tuple[MountSpec, ...]
    own_pid: bool
    covered: tuple[str, ...] = ()
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
    user = setting.new_user_namespace
    proc = show_proc(profile, environment, new_user_namespace=user, pid_wish=_pid_wish(request))
    sysfs = show_sys(profile, environment, new_user_namespace=user, own_network=setting.network.own)
    terminals, terminal_decisions = _terminals(request, environment, setting)
    queues, queue_decisions = _queues(environment, new_user_namespace=user)
    cgroups, cgroup_decisions = mount_cgroups(request, profile, environment)
    shm, shm_decisions = _shm(request)
    return MountChoice(
        mounts=(proc.mount, _dev(setting), *terminals, shm, *queues, sysfs.mount, *cgroups),
        own_pid=proc.own_pid,
        covered=(*proc.covered, *sysfs.covered),
        decisions=(
            *proc.decisions,
            *terminal_decisions,
            *queue_decisions,
            *sysfs.decisions,
            *cgroup_decisions,
            *shm_decisions,
        ),
    )


def _pid_wish(request: RunRequest) -> Wish | None:
    if request.pid is None:
        return None
    return by_flag("pid-namespace", request.pid, f"--pid {request.pid}")


def _dev(setting: Setting) -> MountSpec:
    nodev = ("nodev",) if setting.dev_nodev else ()
    return MountSpec(
        fstype="tmpfs",
        source="tmpfs",
        target="/dev",
        attributes=("nosuid", *nodev, "strictatime"),
        options=(("mode", "755"), ("size", "65536k")),
    )


def _terminals(request: RunRequest, environment: OuterEnvironment, setting: Setting) -> Made:
    """Return the pseudo terminals of the container's own; the group is left out where it is none.

    Source: Documentation/filesystems/devpts.rst.
    """
    group = (("gid", str(_TTY_GROUP)),) if setting.tty_group else ()
    mount = MountSpec(
        fstype="devpts",
        source="devpts",
        target="/dev/pts",
        attributes=("nosuid", "noexec"),
        options=(("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), *group),
    )
    cause = _why_no("devpts", environment, new_user_namespace=setting.new_user_namespace)
    if not cause:
        return (mount,), ()
    if request.terminal:
        wish = by_flag("terminal", "a new one", "-t")
    else:
        wish = by_nestbox("mount /dev/pts", "pseudo terminals of its own")
    return (), (wish.short("none", cause=cause, remedy=_otherwise("CONFIG_UNIX98_PTYS")),)


def _queues(environment: OuterEnvironment, *, new_user_namespace: bool) -> Made:
    """Return the message queues of the container's ipc namespace. Source: mq_overview(7)."""
    mount = MountSpec(fstype="mqueue", source="mqueue", target="/dev/mqueue", attributes=CLOSED)
    cause = _why_no("mqueue", environment, new_user_namespace=new_user_namespace)
    foreign = new_user_namespace or not in_initial_namespace(environment)
    if not cause and foreign and lacks_namespace(environment, "ipc"):
        cause = "this kernel has no ipc namespaces, and the queues are those of the first"
    if not cause:
        return (mount,), ()
    wish = by_nestbox("mount /dev/mqueue", "message queues of its own")
    return (), (wish.short("none", cause=cause, remedy=_otherwise("CONFIG_POSIX_MQUEUE")),)


def _why_no(fstype: str, environment: OuterEnvironment, *, new_user_namespace: bool) -> str:
    """Return why a file system cannot be mounted, by what the kernel has and by trial."""
    if lacks_file_system(environment, fstype):
        return f"this kernel has no {fstype}"
    namespaces = environment.namespaces
    if namespaces is None:
        return ""
    tried = namespaces.mount_with_user if new_user_namespace else namespaces.mount
    trial = tried.get(fstype)
    if trial is None or trial.works or trial.error == "TIMEOUT":
        return ""
    return f"a new {fstype} was tried and gave {trial.error}"


def _otherwise(option: str) -> str:
    return f"use a kernel with {option}, and a security module that allows the mount"


def _shm(request: RunRequest) -> tuple[MountSpec, tuple[Decision, ...]]:
    size = request.shm_bytes or _SHM_BYTES
    mount = MountSpec(
        fstype="tmpfs",
        source="shm",
        target="/dev/shm",
        attributes=CLOSED,
        options=(("mode", "1777"), ("size", str(size))),
    )
    if request.shm_bytes is None:
        return mount, ()
    wish = by_flag("mount /dev/shm", f"{size} bytes", f"--shm-size {size}")
    return mount, (wish.granted(f"{size} bytes"),)
