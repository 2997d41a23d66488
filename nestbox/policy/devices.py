"""Device nodes of the container, and how the others are kept away. Pure.

The ladder for a node: mknod (on a /dev that is not nodev) - bind of one that was made where the
container cannot reach it, or of the outer one (on a /dev that is) - a container without it; refuse
where it was asked for by name. Nodes are made in /dev only where nobody in the container could make
more of them: without CAP_MKNOD in its bounding set, or where it may have all devices anyway.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.derived import is_below
from nestbox.outer.facts import Subject
from nestbox.policy.launch_spec import DeviceSpec
from nestbox.policy.paths import clean
from nestbox.policy.subjects import holds, in_initial_namespace, need
from nestbox.policy.wish import Wish, by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import Device, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import DeviceRequest, RunRequest

# Source: runtime-spec 1.3, config-linux.md "Default Devices"; numbers of
# Documentation/admin-guide/devices.txt.
DEFAULT: Final = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
_LINKS: Final = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)
# Terminals and consoles of the machine, and what every container has of its own.
_HOST_ONLY: Final = (
    r"/dev/(console|ptmx|tty|tty[0-9]+|(pts|shm|fd|mqueue|\.lxc|\.lxd-mounts|\.udev)(/.*)?)"
)
_DENIED: Final = frozenset({"EPERM", "EACCES"})
_ACCESS: Final = r"[rwm]{1,3}"


class DeviceChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes and links of /dev; ``nodev`` is what /dev itself is mounted with."""

    devices: tuple[DeviceSpec, ...]
    links: tuple[tuple[str, str], ...]
    nodev: bool
    decisions: tuple[Decision, ...]


def decide_devices(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    *,
    reachable: int,
    new_user_namespace: bool,
) -> DeviceChoice:
    """Return the devices of the container; ``reachable`` is the mask of what it can ever hold.

    Raises:
        UsageError: a ``--device`` is malformed.
    """
    everything = profile.devices.want == "all"
    makes = _may_make(environment, everything, reachable, new_user_namespace=new_user_namespace)
    lends = not makes and _may_lend(environment, new_user_namespace=new_user_namespace)
    nodes, lacking = _defaults(environment, makes=makes, lends=lends)
    decisions: list[Decision] = []
    wish = by_profile("devices", profile.devices.want, profile.name, profile.devices.policy)
    how = "made by mknod" if makes or lends else "bound from outside"
    if everything:
        outer = "made by mknod" if makes else "bound from outside"
        found, decision = _everything(wish, environment, makes, outer)
        nodes = found | nodes
        decisions.append(decision)
        if lacking:
            default = msgspec.structs.replace(wish, subject="devices.default")
            decisions.append(_default_decision(default, len(DEFAULT) - len(lacking), how, lacking))
    else:
        decisions.append(_default_decision(wish, len(nodes), how, lacking))
        decisions.append(
            _enforcement(wish, reachable, makes, new_user_namespace=new_user_namespace)
        )
    for asked in request.devices:
        added, decision = _named(asked, environment, makes=makes, everything=everything)
        nodes |= added
        decisions.append(decision)
    return DeviceChoice(
        devices=tuple(nodes.values()), links=_LINKS, nodev=not makes, decisions=tuple(decisions)
    )


def _may_make(
    environment: OuterEnvironment, everything: bool, reachable: int, *, new_user_namespace: bool
) -> bool:
    """Return whether nodes are made by mknod.

    Source: fs/namei.c vfs_mknod asks for CAP_MKNOD in the first user namespace.
    """
    if not _may_lend(environment, new_user_namespace=new_user_namespace):
        return False
    if not everything:
        return not reachable >> BY_NAME["CAP_MKNOD"] & 1
    return need(environment.devices, Subject.DEVICES).mknod.works


def _may_lend(environment: OuterEnvironment, *, new_user_namespace: bool) -> bool:
    """Return whether nodes can be made at all, and so where the container cannot reach."""
    initial = not new_user_namespace and in_initial_namespace(environment)
    return initial and holds(environment, "CAP_MKNOD")


def _defaults(
    environment: OuterEnvironment, *, makes: bool, lends: bool
) -> tuple[dict[str, DeviceSpec], dict[str, str]]:
    """Return the nodes that every container gets, and why others of them cannot be had.

    Where the outer nodes were not looked at, they are those of an ordinary machine.
    """
    outer = None if makes or environment.devices is None else environment.devices.nodes
    nodes, lacking = {}, {}
    for path, major, minor in DEFAULT:
        problem = "" if outer is None else _problem(outer.get(path), major, minor, lends=lends)
        if problem:
            lacking[path] = problem
        else:
            nodes[path] = DeviceSpec(
                target=path,
                source=None if makes or lends else path,
                kind="c",
                major=major,
                minor=minor,
                lent=lends,
            )
    return nodes, lacking


def _problem(device: Device | None, major: int, minor: int, *, lends: bool) -> str:
    """Return why a bind of the outer node, or of a made one, would be of no use; empty when not."""
    if device is None:
        return "" if lends else "is no device node outside"
    if not lends and (device.kind, device.major, device.minor) != ("c", major, minor):
        return f"is {device.kind} {device.major}:{device.minor} outside, not c {major}:{minor}"
    if device.opens.error in _DENIED:
        return f"was opened outside, which gave {device.opens.error}"
    return ""


def _default_decision(wish: Wish, count: int, how: str, lacking: dict[str, str]) -> Decision:
    """Return what becomes of the default nodes; without /dev/null nothing could be masked."""
    if not lacking:
        return wish.granted(f"{count} default nodes, {how}")
    numbers = {path: f"c {major} {minor}" for path, major, minor in DEFAULT}
    cause = "; ".join(f"{path} {problem}" for path, problem in lacking.items())
    remedy = "outside, run: " + "; ".join(
        f"mknod -m 666 {path} {numbers[path]}" for path in lacking
    )
    if "/dev/null" in lacking:
        return wish.refused(cause=cause, remedy=remedy)
    chosen = f"{count} default nodes, {how}, without {', '.join(lacking)}"
    return wish.short(chosen, cause=cause, remedy=remedy)


def _spec(source: str, target: str, device: Device, makes: bool) -> DeviceSpec:
    return DeviceSpec(
        target=target,
        source=None if makes else source,
        kind=device.kind,
        major=device.major,
        minor=device.minor,
        mode=device.mode,
        uid=device.uid,
        gid=device.gid,
    )


def _everything(
    wish: Wish, environment: OuterEnvironment, makes: bool, how: str
) -> tuple[dict[str, DeviceSpec], Decision]:
    """Return every outer node but the machine's terminals, as far as it may be opened."""
    nodes = need(environment.devices, Subject.DEVICES).nodes
    found: dict[str, DeviceSpec] = {}
    denied: list[str] = []
    for path, device in nodes.items():
        if re.fullmatch(_HOST_ONLY, path):
            continue
        if device.opens.error in _DENIED:
            denied.append(path)
            continue
        found[path] = _spec(path, path, device, makes)
    if not denied:
        return found, wish.granted(f"{len(found)} outer nodes, {how}")
    names = ", ".join(denied[:8]) + (f" and {len(denied) - 8} more" if len(denied) > 8 else "")
    return found, wish.short(
        f"{len(found)} outer nodes, {how}, without {names}",
        cause="opening these was tried outside and not permitted, as by an outer device cgroup",
        remedy="give the outer environment these devices; for docker, with --device or "
        "--privileged",
    )


def _enforcement(wish: Wish, reachable: int, makes: bool, *, new_user_namespace: bool) -> Decision:
    """Return how all other devices are kept away."""
    enforcement = msgspec.structs.replace(
        wish, subject="devices.enforcement", request="no other devices"
    )
    if new_user_namespace:
        return enforcement.granted("every mount is nodev, and mknod needs the first user namespace")
    if reachable >> BY_NAME["CAP_SYS_ADMIN"] & 1:
        return enforcement.short(
            "every mount is nodev, which CAP_SYS_ADMIN can undo",
            cause="the container can have CAP_SYS_ADMIN, and nestbox sets up no device cgroup yet",
            remedy="do without CAP_SYS_ADMIN, or use --userns auto",
        )
    if makes:
        return enforcement.granted("every other mount is nodev, and mknod needs CAP_MKNOD")
    return enforcement.granted("every mount is nodev, except those of the nodes")


def _named(
    asked: DeviceRequest, environment: OuterEnvironment, *, makes: bool, everything: bool
) -> tuple[dict[str, DeviceSpec], Decision]:
    """Return the node of a ``--device``, or those below a directory, and the decision."""
    source = clean(asked.source, what=f"the source of {asked.asked_by},")
    target = clean(asked.target, what=f"the target of {asked.asked_by},")
    _check(asked, target)
    wish = by_flag(f"device {source}", f"{source}:{target}:{asked.access}", asked.asked_by)
    nodes = need(environment.devices, Subject.DEVICES).nodes
    found = {path: device for path, device in nodes.items() if is_below(path, source)}
    refusal = _refusal(wish, asked, source, found, everything=everything)
    if refusal:
        return {}, refusal
    specs = {}
    for path, device in found.items():
        inside = target + path[len(source) :]
        # The bind of a node outside /dev's own level has nowhere else to be made.
        specs[inside] = _spec(path, inside, device, makes and inside.count("/") == 2)
    return specs, wish.granted("made by mknod" if makes else "bound from outside")


def _check(asked: DeviceRequest, target: str) -> None:
    if not re.fullmatch(_ACCESS, asked.access) or len({*asked.access}) != len(asked.access):
        raise UsageError(
            asked.asked_by,
            cause=f"{asked.access!r} is no access to a device",
            remedy="write r, w and m, each at most once, as in --device /dev/fuse:/dev/fuse:rwm",
        )
    if not target.startswith("/dev/"):
        raise UsageError(
            asked.asked_by,
            cause=f"the target {target} is not below /dev",
            remedy="choose a target below /dev",
        )


def _refusal(
    wish: Wish,
    asked: DeviceRequest,
    source: str,
    found: dict[str, Device],
    *,
    everything: bool,
) -> Decision | None:
    if not found:
        return wish.refused(
            cause=f"{source} is no device node in the outer /dev",
            remedy="give the outer environment the device; for docker, with "
            f"--device {source}, and check the name",
        )
    failed = {
        path: device.opens.error
        for path, device in found.items()
        if device.opens.error not in {None, "EBUSY"}
    }
    if failed:
        path, error = next(iter(failed.items()))
        return wish.refused(
            cause=f"opening {path} was tried outside and gave {error}",
            remedy=_remedy_for_open(path, error or ""),
        )
    if not everything and not {"r", "w"} <= {*asked.access}:
        return wish.refused(
            cause=f"restricting access to {asked.access!r} needs a device cgroup, and nestbox sets "
            "up none yet",
            remedy="ask for rw or rwm",
        )
    return None


def _remedy_for_open(path: str, error: str) -> str:
    if error in _DENIED:
        return f"give the outer environment the device; for docker, with --device {path}"
    return f"load the driver of {path} outside, or leave it out"
