"""Volumes: ``-v``, ``--mount`` and ``--tmpfs``, checked and put in order. Pure.

Nothing may be mounted over /proc, since what the kernel says there would be hidden
(CVE-2019-16884); devices in a volume cannot be opened unless ``dev`` is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nestbox.errors import UsageError
from nestbox.oci.options import MountOptions, Service, parse_options
from nestbox.outer.derived import is_below, mount_at
from nestbox.outer.facts import Subject
from nestbox.policy.host_mounts import protections
from nestbox.policy.launch_spec import MountSpec
from nestbox.policy.paths import clean, depth
from nestbox.policy.subjects import in_initial_namespace, need
from nestbox.policy.wish import Wish, by_flag

if TYPE_CHECKING:
    from nestbox.outer.facts import Mount, OuterEnvironment
    from nestbox.policy.decision import Decision
    from nestbox.policy.request import MountRequest, RunRequest

_TMPFS_ATTRIBUTES: Final = ("nosuid", "nodev", "noexec")
_TMPFS_MODE: Final = "1777"
_ATIMES: Final = ("noatime", "relatime", "strictatime")
_ATTRIBUTE_ORDER: Final = (
    "ro", "nosuid", "nodev", "noexec", "nodiratime", "nosymfollow", "relatime", "noatime",
    "strictatime",
)  # fmt: skip


def decide_volumes(
    request: RunRequest,
    environment: OuterEnvironment,
    *,
    new_user_namespace: bool,
    nodev: bool = True,
    in_memory: bool = False,
) -> tuple[tuple[MountSpec, ...], tuple[Decision, ...]]:
    """Return the volumes, those nearer to the root first, and a decision for each.

    ``nodev`` is false for a container that may have all devices; ``in_memory`` is true for one
    whose root cannot reach directories of the runtime's.

    Raises:
        UsageError: a volume is malformed, lies where none may, or two have the same target.
    """
    specs: list[MountSpec] = []
    decisions: list[Decision] = []
    seen: dict[str, str] = {}
    for mount in request.mounts:
        target = _target(mount)
        if target in seen:
            raise UsageError(
                mount.asked_by,
                cause=f"{seen[target]} has the same target {target}",
                remedy="give each volume a target of its own",
            )
        seen[target] = mount.asked_by
        options = parse_options(mount.options, fstype=mount.type, asked_by=mount.asked_by)
        wish = by_flag(f"mount {target}", _written(mount), mount.asked_by)
        if mount.type == "tmpfs":
            specs.append(_tmpfs(target, options))
            decisions.append(wish.granted("a new tmpfs"))
            continue
        if mount.type == "volume":
            spec, decision = _new_directory(
                wish, target, options, ("nodev",) if nodev else (), in_memory=in_memory
            )
            specs.append(spec)
            decisions.append(decision)
            continue
        spec = _bind(mount, target, options, ("nodev",) if nodev else ())
        specs.append(spec)
        decisions.append(
            _judge(wish, spec, options, environment, new_user_namespace=new_user_namespace)
        )
    return tuple(sorted(specs, key=lambda spec: depth(spec.target))), tuple(decisions)


def _target(mount: MountRequest) -> str:
    target = clean(mount.target, what=f"the target of {mount.asked_by},")
    if target == "/":
        raise UsageError(
            mount.asked_by,
            cause="it would cover the root of the container",
            remedy="use --rootfs for the root, or choose a directory below it",
        )
    if is_below(target, "/proc"):
        raise UsageError(
            mount.asked_by,
            cause=f"{target} is in /proc, where a mount would hide what the kernel says",
            remedy="choose another target",
        )
    return target


def _written(mount: MountRequest) -> str:
    words = ":".join(filter(None, (mount.source, mount.target, ",".join(mount.options))))
    return f"{mount.type} {words}"


def _tmpfs(target: str, options: MountOptions) -> MountSpec:
    data = dict(options.data)
    data.setdefault("mode", _TMPFS_MODE)
    return MountSpec(
        fstype="tmpfs",
        source="tmpfs",
        target=target,
        attributes=_attributes(_TMPFS_ATTRIBUTES, options),
        options=(*data.items(), *((flag, "") for flag in options.flags)),
    )


def _new_directory(
    wish: Wish, target: str, options: MountOptions, defaults: tuple[str, ...], *, in_memory: bool
) -> tuple[MountSpec, Decision]:
    """Return an empty directory for what is written there, on disk where the container gets there.

    Other than docker's anonymous volumes it starts empty, whatever the root has in that place.
    """
    attributes = _attributes(defaults, options)
    if in_memory:
        spec = MountSpec(
            fstype="tmpfs",
            source="tmpfs",
            target=target,
            attributes=attributes,
            options=(("mode", "755"),),
        )
        cause = "its root has another id than we, who own the state directory; it uses memory"
        return spec, wish.granted("a new tmpfs", cause=cause)
    spec = MountSpec(
        fstype="bind",
        source=target.strip("/").replace("/", "-"),
        target=target,
        attributes=attributes,
        new_directory=True,
    )
    return spec, wish.granted("a new directory, removed with the container")


def _bind(
    mount: MountRequest, target: str, options: MountOptions, defaults: tuple[str, ...]
) -> MountSpec:
    if not mount.source.startswith("/"):
        raise UsageError(
            mount.asked_by,
            cause=f"the source {mount.source!r} is not a path, and nestbox keeps no named volumes",
            remedy="give the path of a directory or file, as in -v ./data:/data",
        )
    return MountSpec(
        fstype="bind",
        source=mount.source,
        target=target,
        attributes=_attributes(defaults, options),
        cleared=tuple(name for name in _ATTRIBUTE_ORDER if name in options.cleared),
        propagation=options.propagation or "private",
        recursive=options.recursive_bind is not False,
    )


def _attributes(defaults: tuple[str, ...], options: MountOptions) -> tuple[str, ...]:
    wanted = {name for name in defaults if name not in options.cleared} | {*options.set}
    return tuple(name for name in _ATTRIBUTE_ORDER if name in wanted)


def _judge(
    wish: Wish,
    spec: MountSpec,
    options: MountOptions,
    environment: OuterEnvironment,
    *,
    new_user_namespace: bool,
) -> Decision:
    """Return whether the bind can be had as it was asked for."""
    decision = _judge_services(wish, options, environment)
    if decision is None and spec.propagation in {"shared", "slave"}:
        decision = _judge_propagation(wish, spec, environment)
    locked = new_user_namespace or not in_initial_namespace(environment)
    atime = new_user_namespace and bool(_atime(spec.attributes))
    if decision is None and (atime or (locked and spec.cleared)):
        decision = _judge_locked(wish, spec, environment)
    if decision is None and new_user_namespace and not spec.recursive:
        decision = wish.refused(
            cause="in a new user namespace the mounts below a bind cannot be left out",
            remedy="use rbind, or leave bind out",
        )
    if decision is not None:
        return decision
    kept = _kept(spec, environment) if locked else ""
    return wish.granted("bound", cause=kept or _note(options))


def _judge_services(
    wish: Wish, options: MountOptions, environment: OuterEnvironment
) -> Decision | None:
    asked = {*options.services}
    if Service.CHOWN in asked:
        return wish.refused(
            cause="U asks to change the owner of the source, and nestbox changes no owners",
            remedy="change it beforehand with chown, and leave U out",
        )
    for service in (Service.COPY_UP, Service.ID_MAP, Service.RECURSIVE_ID_MAP):
        if service in asked:
            return wish.refused(
                cause=f"nestbox does not support {service.value} yet", remedy="leave it out"
            )
    if asked & {Service.RELABEL_SHARED, Service.RELABEL_PRIVATE}:
        active = need(environment.lsm, Subject.LSM).active
        if "selinux" in active:
            return wish.refused(
                cause="SELinux is active here, and nestbox does not relabel files yet",
                remedy="relabel the source with chcon -Rt container_file_t, and leave z and Z out",
            )
    return None


def _judge_propagation(
    wish: Wish, spec: MountSpec, environment: OuterEnvironment
) -> Decision | None:
    """Return the refusal when mounts cannot propagate from or to the source."""
    mount = _mount_of(spec, environment)
    place = mount.target if mount else spec.source
    tags = mount.propagation if mount else ()
    if spec.propagation == "shared":
        # The container's mount tree is a slave of the outer one, so nothing propagates outwards.
        return wish.refused(
            cause="mounts made in the container do not propagate to the outer environment",
            remedy="use rslave, which propagates the other way",
        )
    if any(tag.startswith(("shared:", "master:")) for tag in tags):
        return None
    return wish.refused(
        cause=f"{place}, on which the source lies, is a private mount",
        remedy=f"outside, run: mount --make-shared {place}",
    )


def _judge_locked(wish: Wish, spec: MountSpec, environment: OuterEnvironment) -> Decision | None:
    """Return the refusal when a flag that is to be changed is locked.

    Sources: mount_namespaces(7), "Restrictions on mount namespaces"; fs/namespace.c
    can_change_locked_flags.
    """
    mount = _mount_of(spec, environment)
    if mount is None:
        return None
    locked = [name for name in protections(mount) if name in spec.cleared]
    asked, outer = _atime(spec.attributes), _atime(mount.options) or "strictatime"
    if asked and asked != outer:
        locked.append(outer)
    if not locked:
        return None
    return wish.refused(
        cause=f"{mount.target}, on which the source lies, is mounted {', '.join(locked)}, which "
        "a user namespace cannot take back",
        remedy=f"mount {mount.target} outside without {', '.join(locked)}",
    )


def _atime(options: tuple[str, ...]) -> str:
    """Return which of the ways to keep access times is among options; empty for none."""
    return next((name for name in _ATIMES if name in options), "")


def _kept(spec: MountSpec, environment: OuterEnvironment) -> str:
    """Return what the source's mount takes away that nobody asked for, in words."""
    if environment.mounts is None:
        return ""
    mount = _mount_of(spec, environment)
    if mount is None or "ro" not in protections(mount) or "ro" in spec.attributes:
        return ""
    return f"read-only, as {mount.target} is outside"


def _mount_of(spec: MountSpec, environment: OuterEnvironment) -> Mount | None:
    source = clean(spec.source, what="the source")
    return mount_at(need(environment.mounts, Subject.MOUNTS), source)


def _note(options: MountOptions) -> str:
    relabel = {Service.RELABEL_SHARED, Service.RELABEL_PRIVATE} & {*options.services}
    return "SELinux is not active, so there is nothing to relabel" if relabel else ""
