"""The container's root: a directory, or overlays over it or over the present root. Pure.

The ladder for an overlay: its upper layer in the state directory - on a tmpfs - refuse. Nothing is
copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from nestbox.errors import UsageError
from nestbox.outer.derived import overmounts
from nestbox.outer.facts import Subject
from nestbox.policy.host_mounts import HostTree, take_over
from nestbox.policy.launch_spec import MountSpec, OverlayLayer, RootSpec
from nestbox.policy.request import RootKind, RootMode
from nestbox.policy.subjects import need
from nestbox.policy.wish import Wish, by_flag, by_nestbox, by_profile

if TYPE_CHECKING:
    from nestbox.outer.facts import OuterEnvironment, RootFacts, Storage, Trial
    from nestbox.policy.decision import Decision
    from nestbox.policy.profile import Profile
    from nestbox.policy.request import RunRequest

_TMPFS_NOTE: Final = "what is written there uses memory"


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


class _Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """The rung that was found for the upper layer; ``refused`` when there is none."""

    upper: str | None = None
    chosen: str = ""
    cause: str = ""
    remedy: str = ""
    refused: bool = False


def decide_root(
    request: RunRequest,
    profile: Profile,
    environment: OuterEnvironment,
    root: RootFacts,
    *,
    new_user_namespace: bool,
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
    if asked.kind is RootKind.DIRECTORY and asked.mode is not RootMode.OVERLAY:
        below = _mounts_inside(root.directory, environment) if readonly else ()
        spec = RootSpec(
            directory=root.directory, readonly=readonly, readonly_below=below, nodev=nodev
        )
        chosen = "the directory itself, read-only" if readonly else "the directory itself"
        scratch = (_TMP,) if profile.root.want == "ro" and readonly else ()
        return RootChoice(spec=spec, mounts=scratch, decisions=(wish.granted(chosen), *access))
    storage = need(environment.storage, Subject.STORAGE)
    rung = _overlay_rung(storage)
    if new_user_namespace:
        rung = _overlay_rung_in_user_namespace(storage, _has_mounts(root.directory, environment))
    spec = RootSpec(
        directory=root.directory,
        layers=(OverlayLayer(lower=root.directory, target="/"),),
        upper=rung.upper,
        readonly=readonly,
        nodev=nodev,
        user_namespace_options=new_user_namespace,
    )
    decision = _decision(wish, rung, readonly)
    if asked.kind is RootKind.DIRECTORY or rung.refused:
        return RootChoice(spec=spec, mounts=(), decisions=(decision, *access))
    tree = take_over(need(environment.mounts, Subject.MOUNTS), readonly=readonly)
    return RootChoice(
        spec=msgspec.structs.replace(spec, layers=(*spec.layers, *tree.layers)),
        mounts=tree.binds,
        decisions=(decision, *access, *_mounts_decisions(tree)),
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
    if request.root.mode is RootMode.OVERLAY:
        # Who names an overlay wants to write, and what is written is thrown away.
        named = by_flag("root.access", "rw", flag)
        return False, (named.granted("read-write", cause="an overlay was asked for by name"),)
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


def _has_mounts(directory: str, environment: OuterEnvironment) -> bool:
    return bool(overmounts(need(environment.mounts, Subject.MOUNTS), directory))


def _overlay_rung_in_user_namespace(storage: Storage, locked: bool) -> _Overlay:
    """Return the rung of an overlay over a directory, with or without mounts below it.

    What is mounted below is locked in a new user namespace, so that the kernel gives EINVAL for
    the layer, as in the trial over the present root. Source: fs/namespace.c clone_private_mount.
    """
    trial = storage.overlay_user
    if trial.works or (trial.error == "EINVAL" and not locked):
        chosen = "overlay in the user namespace, upper layer on a tmpfs"
        return _Overlay(chosen=chosen, cause=_TMPFS_NOTE)
    why = ": the mounts below are locked" if trial.error == "EINVAL" else ""
    return _no_overlay("in a new user namespace", trial, why)


def _overlay_rung(storage: Storage) -> _Overlay:
    if storage.overlay.works:
        return _Overlay(
            upper=storage.state_directory,
            chosen=f"overlay, upper layer in {storage.state_directory}",
        )
    if storage.overlay_tmpfs.works:
        return _Overlay(
            chosen="overlay, upper layer on a tmpfs",
            cause=f"an upper layer in {storage.state_directory} ({storage.state_fstype}) gave "
            f"{storage.overlay.error}; {_TMPFS_NOTE}",
        )
    # Source: include/linux/fs.h, FILESYSTEM_MAX_STACK_DEPTH.
    stacked = storage.root_fstype == "overlay" and storage.overlay_tmpfs.error == "EINVAL"
    why = ": the root is an overlay, and the kernel stacks no more than two" if stacked else ""
    return _no_overlay("with its upper layer on a tmpfs", storage.overlay_tmpfs, why)


def _no_overlay(how: str, trial: Trial, why: str = "") -> _Overlay:
    return _Overlay(
        refused=True,
        cause=f"an overlay over the present root, {how}, was tried and gave {trial.error}{why}",
        remedy="use --rootfs DIR with a copy of the root, or run nestbox where overlay works",
    )


def _decision(wish: Wish, rung: _Overlay, readonly: bool) -> Decision:
    if rung.refused:
        return wish.refused(cause=rung.cause, remedy=rung.remedy)
    chosen = f"{rung.chosen}, read-only" if readonly else rung.chosen
    return wish.granted(chosen, cause=rung.cause)


def _mounts_decisions(tree: HostTree) -> tuple[Decision, ...]:
    """Return what became of the mounts below the present root."""
    wish = by_nestbox("root.mounts", f"{tree.total} mounts below /")
    layered = f"{len(tree.layers)} as overlays of their own"
    if tree.weaker:
        return (
            wish.short(
                f"{layered}; read-only: {', '.join(tree.weaker)}",
                cause="; ".join(dict.fromkeys(tree.weaker.values())),
                remedy="mount what must be written with -v",
            ),
        )
    bound = f", {len(tree.binds)} read-only" if tree.binds else ""
    omitted = f", without {', '.join(tree.omitted)}" if tree.omitted else ""
    cause = "files are bound read-only" if tree.binds else ""
    return (wish.granted(f"{layered}{bound}{omitted}", cause=cause),)
