"""Whether one need is met here, why not, and what to change. Pure.

The judges look at the same facts as a launch, and ask the policy where it has an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.derived import mount_at
from nestbox.outer.facts import EngineKind, OuterEnvironment, Subject
from nestbox.policy.capability_remedies import lost_at
from nestbox.policy.change import Change, ChangeKind
from nestbox.policy.kernel_mounts import why_not_fresh
from nestbox.policy.subjects import holds, need
from nestbox.policy.userns_denial import user_namespace_denial

if TYPE_CHECKING:
    from collections.abc import Callable

    from nestbox.doctor.workloads.workload import Need
    from nestbox.outer.facts import Mount, Trial

_K: Final = ChangeKind
# Engines whose filters allow mounting and namespaces to a container that has CAP_SYS_ADMIN.
# Source: profiles/seccomp of moby and of container-libs.
_TIE_FILTER_TO_ADMIN: Final = frozenset(
    {
        EngineKind.DOCKER,
        EngineKind.PODMAN,
        EngineKind.KUBERNETES,
        EngineKind.CONTAINERD,
        EngineKind.NESTBOX,
    }
)
_ADMIN: Final = "CAP_SYS_ADMIN"
_TIED_CALLS: Final = frozenset(
    {
        "clone", "clone3", "fsconfig", "fsmount", "fsopen", "mount", "mount_setattr",
        "move_mount", "open_tree", "setns", "umount2", "unshare",
    }
)  # fmt: skip


class Unmet(msgspec.Struct, frozen=True, kw_only=True):
    """A need that is not met, and what would meet it."""

    need: Need
    cause: str
    changes: tuple[Change, ...]


def judge(one: Need, environment: OuterEnvironment) -> Unmet | None:
    """Return why a need is not met; None when it is.

    Raises:
        AssertionError: a fact that it needs was not observed.
    """
    if one.kind == "any":
        found = [judge(other, environment) for other in one.any_of]
        if not all(found):
            return None
        least = min((each for each in found if each), key=lambda each: len(each.changes))
        return Unmet(need=one, cause=least.cause, changes=least.changes)
    answer = _JUDGES[one.kind](one.value, environment)
    if answer is None:
        return None
    cause, changes = answer
    why = one.why
    return Unmet(
        need=one,
        cause=cause,
        changes=tuple(msgspec.structs.replace(change, why=why) for change in changes),
    )


_Answer = tuple[str, tuple[Change, ...]] | None


def _user(value: str, environment: OuterEnvironment) -> _Answer:
    uid = need(environment.identity, Subject.IDENTITY).uid
    if value != "root" or uid == 0:
        return None
    return f"it runs as uid {uid}", (Change(kind=_K.ROOT_USER),)


def _capability(value: str, environment: OuterEnvironment) -> _Answer:
    name = value if value.startswith("CAP_") else f"CAP_{value}"
    sets = need(environment.capabilities, Subject.CAPABILITIES).sets
    number = BY_NAME[name]
    if sets.effective >> number & 1:
        return None
    change = Change(kind=_K.CAPABILITY, value=name)
    if sets.bounding >> number & 1:
        return f"{name} is in the bounding set, but not effective", (change,)
    where = lost_at(environment, number)
    return f"{name} is not in the bounding set" + (f"; lost at {where}" if where else ""), (change,)


def _user_namespace(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge whether a new user namespace can be made, with the namespaces that are listed."""
    trials = need(environment.namespaces, Subject.NAMESPACES).create_with_user
    failed = _failed(trials, ("user", *value.split()))
    if not failed:
        return None
    sysctls = environment.sysctls or {}
    for name, bad, good in _USER_NAMESPACE_SYSCTLS:
        if sysctls.get(name) == bad:
            return f"{name} is {bad}", (Change(kind=_K.SYSCTL, value=f"{name}={good}"),)
    denial = user_namespace_denial(environment)
    cause = denial[0] if denial else f"a new user namespace was tried: {_listed(failed)}"
    if _is_filtered(environment):
        # Who may make one needs no capability, so letting the calls pass is the lesser change.
        return cause, (Change(kind=_K.SYSTEM_CALLS, value="clone clone3 unshare"),)
    if _is_confined(environment):
        return cause, (Change(kind=_K.APPARMOR),)
    return cause, (Change(kind=_K.KERNEL, value=f"user namespaces ({', '.join(failed)})"),)


_USER_NAMESPACE_SYSCTLS: Final = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


def _namespaces(value: str, environment: OuterEnvironment) -> _Answer:
    trials = need(environment.namespaces, Subject.NAMESPACES).create
    failed = _failed(trials, value.split())
    return _refused("new namespaces", failed, environment) if failed else None


def _failed(trials: dict[str, Trial], names: tuple[str, ...] | list[str]) -> dict[str, str]:
    return {
        name: trials[name].error or ""
        for name in names
        if name in trials and not trials[name].works
    }


def _calls(value: str, environment: OuterEnvironment) -> _Answer:
    seccomp = need(environment.seccomp, Subject.SECCOMP)
    failed = _failed(seccomp.syscalls, value.split())
    if not failed:
        return None
    if not _is_filtered(environment) or set(failed) <= _TIED_CALLS:
        return _refused("system calls", failed, environment)
    cause = f"system calls were tried: {_listed(failed)}; an outer seccomp filter is on us"
    return cause, (Change(kind=_K.SYSTEM_CALLS, value=" ".join(failed)),)


def _refused(what: str, failed: dict[str, str], environment: OuterEnvironment) -> _Answer:
    """Return who refuses what was tried: the want of a capability, a filter, or the kernel."""
    cause = f"{what} were tried: {_listed(failed)}"
    filtered = _is_filtered(environment)
    if not holds(environment, _ADMIN) and (not filtered or _tied(environment)):
        return cause, (Change(kind=_K.CAPABILITY, value=_ADMIN),)
    if filtered:
        calls = " ".join(failed) if what == "system calls" else "clone clone3 unshare"
        return f"{cause}; an outer seccomp filter is on us", (
            Change(kind=_K.SYSTEM_CALLS, value=calls),
        )
    return cause, (Change(kind=_K.KERNEL, value=f"{what} ({', '.join(failed)})"),)


def _listed(failed: dict[str, str]) -> str:
    return ", ".join(f"{name} {error}" for name, error in failed.items())


def _is_filtered(environment: OuterEnvironment) -> bool:
    return environment.seccomp is not None and environment.seccomp.mode == 2


def _is_confined(environment: OuterEnvironment) -> bool:
    return environment.lsm is not None and environment.lsm.apparmor_mode == "enforce"


def _tied(environment: OuterEnvironment) -> bool:
    engine = environment.engine
    return engine is not None and engine.kind in _TIE_FILTER_TO_ADMIN


def _mount(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge whether file systems can be mounted with the rights that we have."""
    causes, changes = [], []
    if not holds(environment, _ADMIN):
        causes.append(f"{_ADMIN} is not effective, and mounting needs it")
        changes.append(Change(kind=_K.CAPABILITY, value=_ADMIN))
    if _is_confined(environment):
        label = environment.lsm.label if environment.lsm else None
        causes.append(f"AppArmor's profile {label} denies mounts")
        changes.append(Change(kind=_K.APPARMOR))
    if causes:
        return "; ".join(causes), tuple(changes)
    return _calls("mount umount2", environment)


def _proc(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge whether a new proc can be mounted by who is root of a user namespace alone."""
    cause = why_not_fresh("proc", "/proc", need(environment.mounts, Subject.MOUNTS))
    return (cause, (Change(kind=_K.PROC),)) if cause else None


def _writable(value: str, environment: OuterEnvironment) -> _Answer:
    mount = mount_at(need(environment.mounts, Subject.MOUNTS), value)
    if mount is None or not _is_read_only(mount):
        return None
    kind = _K.CGROUP if value.startswith("/sys/fs/cgroup") else _K.PROC
    return f"{mount.target} is mounted read-only", (Change(kind=kind),)


def _cgroup(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge whether a cgroup can be made below ours, with the controllers that are listed."""
    cgroup = need(environment.cgroup, Subject.CGROUP)
    writable = {
        controller
        for hierarchy in cgroup.hierarchies
        if hierarchy.writable
        for controller in hierarchy.controllers
    }
    wanted = [name for name in value.split() if name != "any"]
    lacking = [name for name in wanted if name not in writable]
    if not lacking and any(hierarchy.writable for hierarchy in cgroup.hierarchies):
        return None
    if not cgroup.hierarchies:
        return "no cgroup file system is mounted", (Change(kind=_K.CGROUP),)
    what = f"for {', '.join(lacking)}" if lacking else "in any hierarchy"
    return f"no cgroup can be made {what}", (Change(kind=_K.CGROUP),)


def _root(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge what roots of containers can be made from: overlay, overlay-userns."""
    storage = need(environment.storage, Subject.STORAGE)
    trials = {
        "overlay": (storage.overlay_tmpfs_directory or storage.overlay_tmpfs, storage.overlay),
        "overlay-userns": (storage.overlay_user_directory or storage.overlay_user,),
    }[value]
    if any(trial.works for trial in trials):
        return None
    cause = f"an overlay was tried and gave {trials[0].error}"
    if not holds(environment, _ADMIN) and value == "overlay":
        return cause, (Change(kind=_K.CAPABILITY, value=_ADMIN),)
    return cause, (Change(kind=_K.KERNEL, value=value),)


def _disk(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge whether a directory is on something that an overlay's upper layer can lie on."""
    mount = mount_at(need(environment.mounts, Subject.MOUNTS), value)
    if mount is None or mount.fstype not in {"overlay", "fuse.fuse-overlayfs"}:
        return None
    return f"{value} is on {mount.fstype}, which takes no upper layer", (
        Change(kind=_K.VOLUME, value=value),
    )


def _is_read_only(mount: Mount) -> bool:
    return "ro" in mount.options or "ro" in mount.super_options


def _device(value: str, environment: OuterEnvironment) -> _Answer:
    node = need(environment.devices, Subject.DEVICES).nodes.get(value)
    if node is not None and node.opens.works:
        return None
    cause = f"{value} is not there" if node is None else f"open(2) of {value}: {node.opens.error}"
    return cause, (Change(kind=_K.DEVICE, value=value),)


def _program(value: str, environment: OuterEnvironment) -> _Answer:
    """Judge whether one of the helpers that nestbox looks for is there."""
    tools = need(environment.tools, Subject.TOOLS)
    if getattr(tools, value.replace("-", "_")) is not None:
        return None
    package = {"newuidmap": "uidmap", "newgidmap": "uidmap", "pasta": "passt"}.get(value, value)
    return f"{value} is not on PATH", (Change(kind=_K.PACKAGE, value=package),)


def _subordinate_ids(value: str, environment: OuterEnvironment) -> _Answer:
    tools = need(environment.tools, Subject.TOOLS)
    counts = [sum(one.count for one in ranges) for ranges in (tools.subuid, tools.subgid)]
    if min(counts) >= int(value):
        return None
    uid = need(environment.identity, Subject.IDENTITY).uid
    owner = str(uid) if uid else "root"
    return (
        f"{min(counts)} subordinate ids belong to our user, and {value} are needed",
        (Change(kind=_K.SUBORDINATE_IDS, value=owner),),
    )


def _sysctl(value: str, environment: OuterEnvironment) -> _Answer:
    name, _, wanted = value.partition("=")
    found = need(environment.sysctls, Subject.SYSCTLS).get(name)
    if found is None or found == wanted:
        return None
    return f"{name} is {found}", (Change(kind=_K.SYSCTL, value=value),)


def _kernel(value: str, environment: OuterEnvironment) -> _Answer:
    version = need(environment.kernel, Subject.KERNEL).version
    major, _, minor = value.partition(".")
    if version >= (int(major), int(minor)):
        return None
    return f"this is Linux {version[0]}.{version[1]}", (
        Change(kind=_K.KERNEL, value=f"version {value} or newer"),
    )


_JUDGES: Final[dict[str, Callable[[str, OuterEnvironment], _Answer]]] = {
    "user": _user,
    "capability": _capability,
    "user-namespace": _user_namespace,
    "namespaces": _namespaces,
    "calls": _calls,
    "mount": _mount,
    "proc": _proc,
    "writable": _writable,
    "cgroup": _cgroup,
    "root": _root,
    "disk": _disk,
    "device": _device,
    "program": _program,
    "subordinate-ids": _subordinate_ids,
    "sysctl": _sysctl,
    "kernel": _kernel,
}
