"""Trials of overlays: over the root and over mounts, with the upper layer where it may be."""

from __future__ import annotations

import contextlib
import fcntl
import os
from _thread import get_native_id

import msgspec

from nestbox.kernel import trials as kernel
from nestbox.outer import derived
from nestbox.outer.facts import Mount, Trial
from nestbox.outer.throwaway import in_child, make_private

# A directory that every environment has; a trial covers it in a mount namespace of its own.
_COVERED = "/proc"
_ON_TMPFS = "lower"  # the name of an empty directory on the tmpfs of a trial
_FILE = "/etc/passwd"  # one that an environment is most likely to have
_FICLONE = 0x40049409  # include/uapi/linux/fs.h
_LOWER_CANDIDATES = ("/usr", "/etc", "/var", "/bin", "/opt")


class Overlays(msgspec.Struct, frozen=True, kw_only=True):
    """The overlay trials of one state directory."""

    overlay: Trial
    overlay_tmpfs: Trial
    overlay_user: Trial
    overlay_tmpfs_directory: Trial
    overlay_user_directory: Trial
    bare: Trial
    bare_user: Trial
    overlay_user_state: Trial
    reflink: Trial


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an overlay can be made over one mount, with our rights and in a user namespace."""

    own: Trial
    user: Trial


def stacked(mounts: tuple[Mount, ...]) -> list[list[Mount]]:
    """Return the mounts that are overlays, those of one file system together.

    Two file systems are stacked, no more. Source: include/linux/fs.h, FILESYSTEM_MAX_STACK_DEPTH.
    """
    stacks: dict[str, list[Mount]] = {}
    if all(mount.fstype != "overlay" for mount in mounts):
        return []  # as on most machines
    for mount in derived.visible(mounts):
        if mount.fstype == "overlay":
            stacks.setdefault(mount.device, []).append(mount)
    return list(stacks.values())


def try_stack(ones: list[Mount], mounts: tuple[Mount, ...]) -> Stack:
    """Return the trials over the mounts of one file system.

    With mounts below it a directory tells nothing in a user namespace, where they are locked; what
    holds for us holds there too.
    """
    found = (_plain_directory(mount, mounts) for mount in ones)
    lower = next((path for path in found if path is not None), None)
    own = _try_over(lower or ones[0].target, kernel.Overlay.TMPFS)
    return Stack(own=own, user=_try_over(lower, kernel.Overlay.USER) if lower else own)


def _directory_without_mounts(mounts: tuple[Mount, ...]) -> str:
    """Return a directory of the root that has no mounts below it."""
    for path in _LOWER_CANDIDATES:
        plain = os.path.isdir(path) and not os.path.islink(path)
        if plain and not derived.overmounts(mounts, path):
            return path
    return "/"


def _plain_directory(mount: Mount, mounts: tuple[Mount, ...]) -> str | None:
    """Return a directory on a mount that has no mounts below it, else None."""
    if not derived.overmounts(mounts, mount.target):
        return mount.target
    try:
        names = os.listdir(mount.target)
    except OSError:
        return None
    for name in sorted(names):
        path = os.path.join(mount.target, name)
        if os.path.islink(path) or not os.path.isdir(path):
            continue
        if derived.mount_at(mounts, path) == mount and not derived.overmounts(mounts, path):
            return path
    return None


def _try_over(lower: str, kind: kernel.Overlay) -> Trial:
    return Trial(error=in_child(lambda: kernel.try_overlay(lower, _COVERED, kind)))


def try_overlays(directory: str, mounts: tuple[Mount, ...]) -> Overlays:
    """Return whether each kind of overlay can be made."""
    plain = _directory_without_mounts(mounts)
    return Overlays(
        overlay=Trial(error=_try_overlay_in(directory, "/", kernel.Overlay.DIRECTORY)),
        overlay_tmpfs=_try_over("/", kernel.Overlay.TMPFS),
        overlay_user=_try_over("/", kernel.Overlay.USER),
        overlay_tmpfs_directory=_try_over(plain, kernel.Overlay.TMPFS),
        overlay_user_directory=_try_over(plain, kernel.Overlay.USER),
        bare=_try_over(_ON_TMPFS, kernel.Overlay.TMPFS),
        bare_user=_try_over(_ON_TMPFS, kernel.Overlay.USER),
        overlay_user_state=Trial(
            error=_try_overlay_in(directory, plain, kernel.Overlay.USER_DIRECTORY)
        ),
        reflink=Trial(error=_try_reflink(directory)),
    )


def _try_overlay_in(directory: str, lower: str, kind: kernel.Overlay) -> str | None:
    """Return the error of an overlay whose upper layer is in a directory, which is left as it was.

    What a killed trial left there is removed by the next one.
    """
    scratch = os.path.join(directory, f"trial-{get_native_id()}")
    try:
        make_private(directory)
        _remove_abandoned(directory)
        for name in ("", "upper", "work"):
            os.mkdir(os.path.join(scratch, name), 0o700)
    except OSError as error:
        _remove(scratch)
        return kernel.error_name(error.errno or 0)
    try:
        return in_child(lambda: kernel.try_overlay(lower, scratch, kind))
    finally:
        _remove(scratch)


def _try_reflink(directory: str) -> str | None:
    """Return the error of a copy of a file of / in a directory that shares its blocks."""
    try:
        with contextlib.ExitStack() as undo:
            source = os.open(_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            undo.callback(os.close, source)
            copy = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            undo.callback(os.close, copy)
            fcntl.ioctl(copy, _FICLONE, source)
    except OSError as error:
        return kernel.error_name(error.errno or 0)
    return None


def free_bytes(directory: str) -> int | None:
    """Return the bytes that we may fill of the file system that a directory is or will be on."""
    path = os.path.abspath(directory)
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    try:
        system = os.statvfs(path)
    except OSError:
        return None
    return system.f_bavail * system.f_frsize


def _remove_abandoned(directory: str) -> None:
    """Remove the scratch directories of threads that are gone."""
    for name in os.listdir(directory):
        prefix, _, number = name.partition("-")
        if prefix == "trial" and number.isdigit() and not os.path.exists(f"/proc/{number}"):
            _remove(os.path.join(directory, name))


def _remove(scratch: str) -> None:
    """Remove a scratch directory: what was made, and what overlay makes in its work directory."""
    with contextlib.suppress(OSError):
        for name in os.listdir(os.path.join(scratch, "work")):
            os.rmdir(os.path.join(scratch, "work", name))
    for name in ("work", "upper", ""):
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(scratch, name))
