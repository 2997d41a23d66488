"""The container's root: a directory, or one whose changes are thrown away. Pure.

``nestbox.policy.root_ladder`` has the rungs of the latter. Nothing is copied silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.outer.derived import is_below, mount_at, overmounts
from nestbox.outer.facts import Subject
from nestbox.policy.host_mounts import HostTree, shown_by_fuse, take_over
from nestbox.policy.launch_spec import CopySpec, FuseSpec, MountSpec, OverlayLayer, RootSpec
from nestbox.policy.request import THROWN_AWAY, RootKind, RootMode
from nestbox.policy.root_decisions import layers_decisions, mounts_decisions, parts_decisions
from nestbox.policy.root_ladder import Rung, find_rung
from nestbox.policy.root_parts import (
    Ground,
    Parts,
    make_parts,
)
from nestbox.policy.root_place import Place, Separation
from nestbox.policy.subjects import holds, in_initial_namespace, need
from nestbox.policy.wish import by_flag, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, RootFacts
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest
    from nestbox.policy.userns import UserNamespaceChoice

_BASES: Final = {
    "overlay": "", "overlays": "tmpfs", "fuse": "fuse", "copy": "copy", "mixed": "tmpfs",
}  # fmt: skip

# What a program of a profile with a read-only root may write to.
_TMP: Final = MountSpec(
    fstype="tmpfs",
    source="tmpfs",
    target="/tmp",
    attributes=("nosuid", "nodev"),
    options=(("mode", "1777"),),
)


class RootChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The root and what is mounted on it before anything else."""

    spec: RootSpec
    mounts: tuple[MountSpec, ...]
    decisions: tuple[Decision, ...]


def decide_root(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    root: RootFacts,
    separation: Separation,
) -> RootChoice:
    """Return how the root is made.

    Raises:
        UsageError: the directory turns out to be the present root.
    """
    asked = request.root
    readonly, access = _access(request, profile)
    nodev = profile.devices.want != "all"
    wish = by_flag("root", _as_written(request), f"--rootfs {_as_written(request)}")
    if asked.kind is RootKind.DIRECTORY:
        _not_present_root(asked.directory, root)
    if asked.kind is RootKind.DIRECTORY and asked.mode not in THROWN_AWAY:
        below = _mounts_inside(root.directory, environment) if readonly else ()
        spec = RootSpec(
            directory=root.directory,
            readonly=readonly,
            readonly_below=below,
            nodev=nodev,
            # In another user namespace the kernel keeps what the outer mount says (locked flags).
            executable=not separation.new_user_namespace and in_initial_namespace(environment),
        )
        locked = "" if spec.executable else _locked_noexec(root.directory, environment)
        if locked:
            refused = wish.refused(cause=locked, remedy=f"use --rootfs {asked.directory}:overlay")
            return RootChoice(spec=spec, mounts=(), decisions=(refused, *access))
        chosen = "the directory itself, read-only" if readonly else "the directory itself"
        scratch = (_TMP,) if profile.root.want == "ro" and readonly else ()
        return RootChoice(spec=spec, mounts=scratch, decisions=(wish.granted(chosen), *access))
    place = place_of(request, environment, root, separation)
    rung = find_rung(place)
    if not rung.kind:
        refused = wish.refused(cause=rung.cause, remedy=rung.remedy)
        spec = RootSpec(directory=root.directory, readonly=readonly, nodev=nodev)
        return RootChoice(spec=spec, mounts=(), decisions=(refused, *access))
    parts = _parts(place, rung, readonly)
    tree = _mounts(place, rung, readonly)
    nested = separation.new_user_namespace or not in_initial_namespace(environment)
    spec = RootSpec(
        directory=root.directory,
        base=_BASES[rung.kind],
        layers=(*_first_layer(root, rung), *parts.layers, *tree.layers),
        copies=(*_first_copy(root, rung), *parts.copies),
        binds=parts.binds,
        upper=rung.upper,
        readonly=readonly,
        nodev=nodev,
        user_namespace_options=nested,
        executable=rung.kind == "copy" and not nested,
        lenient=nested or not holds(environment, "CAP_DAC_OVERRIDE"),
        fuse=_fuse_spec(place, rung),
    )
    chosen = f"{rung.chosen}, read-only" if readonly else rung.chosen
    named = f"--rootfs {_as_written(request)}"
    return RootChoice(
        spec=spec,
        mounts=tree.binds,
        decisions=(
            wish.granted(chosen, cause=rung.cause),
            *access,
            *parts_decisions(parts, rung, place, named),
            *layers_decisions(rung, need(environment.kernel, Subject.KERNEL), nested=nested),
            *mounts_decisions(tree, place),
        ),
    )


def _locked_noexec(directory: str, environment: OuterEnvironment) -> str:
    """Return why no program in a directory can be executed in a user namespace; empty when it can.

    Where mounts were not looked at, they are those of an ordinary machine.
    """
    mount = mount_at(environment.mounts or (), directory)
    if mount is None or "noexec" not in mount.options:
        return ""
    return f"{mount.target}, where it is, is mounted noexec, which a user namespace cannot lift"


def maps_own_ids(choice: UserNamespaceChoice, environment: OuterEnvironment) -> bool:
    """Return whether a new user namespace maps no ids but our own, so that all files stay ours."""
    if not choice.new:
        return False
    uid = need(environment.identity, Subject.IDENTITY).uid
    return [(row.outside, row.count) for row in choice.uid_map] == [(uid, 1)]


def place_of(
    request: RunRequest,
    environment: OuterEnvironment,
    root: RootFacts,
    separation: Separation,
) -> Place:
    """Return all that the choice of a root whose changes are thrown away depends on."""
    devices = environment.devices
    return Place(
        kind=request.root.kind,
        mode=request.root.mode,
        root=root,
        storage=need(environment.storage, Subject.STORAGE),
        mounts=need(environment.mounts, Subject.MOUNTS),
        separation=separation,
        tools=environment.tools,
        fuse=devices.nodes.get("/dev/fuse") if devices else None,
    )


def _first_layer(root: RootFacts, rung: Rung) -> tuple[OverlayLayer, ...]:
    if rung.kind != "overlay":
        return ()
    return (OverlayLayer(lower=root.directory, target="/"),)


def _first_copy(root: RootFacts, rung: Rung) -> tuple[CopySpec, ...]:
    return (CopySpec(source=root.directory, target="/"),) if rung.kind == "copy" else ()


def _fuse_spec(place: Place, rung: Rung) -> FuseSpec | None:
    if rung.kind != "fuse" or place.tools is None or place.tools.fuse_overlayfs is None:
        return None
    return FuseSpec(
        program=place.tools.fuse_overlayfs,
        user_namespace=place.separation.new_user_namespace,
        all_roots=place.separation.own_ids,
    )


def _parts(place: Place, rung: Rung, readonly: bool) -> Parts:
    """Return what lies beside the mounts, where no overlay or copy shows it."""
    if rung.kind == "fuse":
        return Parts()
    tree = place.root.tree
    if rung.kind in {"overlay", "copy"}:
        # All but what is mounted is in the base.
        prefix = place.root.directory.rstrip("/")
        full = [path for path in place.full if path != place.root.directory]
        tree = tuple(x for x in tree if any(is_below(prefix + x.path, path) for path in full))
    return make_parts(
        Ground(
            directory=place.root.directory,
            mounts=place.mounts,
            tree=tree,
            full=place.full,
            overlays=place.overlays.works,
            readonly=readonly,
        )
    )


def _mounts(place: Place, rung: Rung, readonly: bool) -> HostTree:
    """Return what becomes of the mounts below the root."""
    if place.kind is RootKind.DIRECTORY and rung.kind != "overlays":
        return HostTree(total=0, layers=(), binds=(), weaker={}, omitted=())
    if rung.kind == "fuse":
        return shown_by_fuse(place.mounts, readonly=readonly)
    return take_over(
        place.mounts,
        readonly=readonly,
        directory=place.root.directory,
        takes_overlay=place.takes_overlay,
        listed=frozenset(one.path for one in place.root.tree),
    )


def _as_written(request: RunRequest) -> str:
    asked = request.root
    name = "host" if asked.kind is RootKind.HOST else asked.directory
    return f"{name}:{asked.mode.value}" if asked.mode.value else name


def _access(request: RunRequest, profile: Profile) -> tuple[bool, tuple[Decision, ...]]:
    """Return whether the root is read-only, and the decision about who wanted that."""
    if request.read_only:
        return True, (by_flag("root.access", "ro", "--read-only").granted("read-only"),)
    flag = f"--rootfs {_as_written(request)}"
    if request.root.mode is RootMode.READ_ONLY:
        return True, (by_flag("root.access", "ro", flag).granted("read-only"),)
    choice = profile.root
    wish = by_profile("root.access", choice.want, profile.name, choice.policy)
    if choice.want == "rw":
        return False, (wish.granted("read-write"),)
    if request.root.kind is RootKind.HOST:
        kept = "what is written goes to the overlay, so the root itself is never changed"
        return False, (wish.granted("read-write", cause=kept),)
    if request.root.mode in THROWN_AWAY:
        # Who names an overlay wants to write, and what is written is thrown away.
        named = by_flag("root.access", "rw", flag)
        cause = "a root whose changes are thrown away was asked for by name"
        return False, (named.granted("read-write", cause=cause),)
    return True, (wish.granted("read-only, with a tmpfs at /tmp"),)


def _not_present_root(directory: str, root: RootFacts) -> None:
    if root.directory != "/":
        return
    leads = "is" if directory == "/" else "leads to"
    raise UsageError(
        f"--rootfs {directory}",
        cause=f"{directory!r} {leads} the present root, with every file system mounted on it",
        remedy="use --rootfs host, which throws away what is written",
    )


def _mounts_inside(directory: str, environment: OuterEnvironment) -> tuple[str, ...]:
    """Return the targets of the mounts below a directory, as paths inside it, outer ones first."""
    below = overmounts(need(environment.mounts, Subject.MOUNTS), directory)
    return tuple(sorted(mount.target.removeprefix(directory.rstrip("/")) for mount in below))
