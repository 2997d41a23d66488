"""Facts that only a trial shows, kept from one launch to the next.

The outcomes are kept as JSON in ``facts/`` of the state directory, in one file for each
fingerprint. A file that is not ours, that others may write, or that is damaged counts as absent;
one that cannot be written is not missed, since the next launch tries again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from _thread import get_native_id
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from nestbox.errors import EnvironmentUnreadable, reason
from nestbox.kernel import reading
from nestbox.kernel import trials as kernel
from nestbox.kernel.namespaces import TABLE
from nestbox.outer import derived
from nestbox.outer.facts import Mount, Storage, Trial

_Value = TypeVar("_Value")

_FILES_LIMIT = 64  # environments that are remembered, the newest
_FILE_LIMIT_BYTES = 1 << 18

# A directory that every environment has; a trial covers it in a mount namespace of its own.
_COVERED = "/proc"
_LOWER_CANDIDATES = ("/usr", "/etc", "/var", "/bin", "/opt")


class Overlays(msgspec.Struct, frozen=True, kw_only=True):
    """The overlay trials of one state directory."""

    overlay: Trial
    overlay_tmpfs: Trial
    overlay_user: Trial
    overlay_tmpfs_directory: Trial
    overlay_user_directory: Trial


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was tried in one environment; None was not tried yet."""

    fingerprint: str
    create: dict[str, Trial] | None = None
    create_with_user: dict[str, Trial] | None = None
    syscalls: dict[str, Trial] | None = None
    mknod: Trial | None = None
    overlays: dict[str, Overlays] = {}  # by state directory


class Trials:
    """The outcomes for one environment: read from the file, or tried when first asked for."""

    def __init__(self, state_directory: str, fingerprint: str) -> None:
        self._state_directory = os.path.abspath(state_directory)
        self._directory = os.path.join(self._state_directory, "facts")
        self._path = os.path.join(self._directory, f"{fingerprint}.json")
        self._outcomes = _load(self._path, fingerprint) or Outcomes(fingerprint=fingerprint)
        self._changed = False

    def _keep(self, **outcomes: object) -> None:
        """Remember what was tried just now."""
        self._outcomes = msgspec.structs.replace(self._outcomes, **outcomes)
        self._changed = True

    def namespaces(self) -> tuple[dict[str, Trial], dict[str, Trial]]:
        """Return which namespaces can be made with our rights, and in a new user namespace."""
        if self._outcomes.create is None or self._outcomes.create_with_user is None:
            self._keep(
                create=_try_namespaces(in_user_namespace=False),
                create_with_user=_try_namespaces(in_user_namespace=True),
            )
        return self._outcomes.create or {}, self._outcomes.create_with_user or {}

    def syscalls(self, *, can_setgroups: bool) -> dict[str, Trial]:
        """Return how the system calls that a launch needs are answered."""
        if self._outcomes.syscalls is None:
            errors = _in_child(lambda: kernel.try_syscalls(can_setgroups=can_setgroups))
            self._keep(syscalls={name: Trial(error=error) for name, error in errors.items()})
        return self._outcomes.syscalls or {}

    def mknod(self) -> Trial:
        """Return whether a device node can be made and opened."""
        if self._outcomes.mknod is None:
            self._keep(mknod=Trial(error=_in_child(lambda: kernel.try_mknod(_COVERED))))
        return self._outcomes.mknod or Trial(error=None)

    def storage(self, mounts: tuple[Mount, ...]) -> Storage:
        """Return what a root can be made from, with the upper layer in the state directory."""
        directory = self._state_directory
        overlays = self._outcomes.overlays.get(_text(directory))
        if overlays is None:
            overlays = _try_overlays(directory, mounts)
            self._keep(overlays={**self._outcomes.overlays, _text(directory): overlays})
        root = derived.mount_at(mounts, "/")
        state = derived.mount_at(mounts, os.path.realpath(directory))
        return Storage(
            root_fstype=root.fstype if root else "",
            state_directory=directory,
            state_fstype=state.fstype if state else "",
            overlay=overlays.overlay,
            overlay_tmpfs=overlays.overlay_tmpfs,
            overlay_user=overlays.overlay_user,
            overlay_tmpfs_directory=overlays.overlay_tmpfs_directory,
            overlay_user_directory=overlays.overlay_user_directory,
        )

    def save(self) -> None:
        """Write what is new to the file. A trial that took too long is tried again next time."""
        if self._changed and not any(trial.error == "TIMEOUT" for trial in _all(self._outcomes)):
            with contextlib.suppress(OSError):
                _write(self._directory, self._path, msgspec.json.encode(self._outcomes))


def _text(path: str) -> str:
    """Return a path as text that JSON can hold."""
    return path.encode("utf-8", "backslashreplace").decode()


def _all(outcomes: Outcomes) -> Iterable[Trial]:
    """Yield every trial of an environment."""
    for group in (outcomes.create, outcomes.create_with_user, outcomes.syscalls):
        yield from (group or {}).values()
    if outcomes.mknod is not None:
        yield outcomes.mknod
    for overlays in outcomes.overlays.values():
        yield from (getattr(overlays, name) for name in overlays.__struct_fields__)


def _in_child(trial: Callable[[], _Value]) -> _Value:
    """Return a trial's outcome. Raises EnvironmentUnreadable when no child can be made."""
    try:
        return trial()
    except OSError as error:
        raise EnvironmentUnreadable(
            "cannot try in a child process what this environment allows",
            cause=f"clone(2) answered: {reason(error)}",
            remedy="let this process make another one: check the limits on processes",
        ) from error


def _try_namespaces(*, in_user_namespace: bool) -> dict[str, Trial]:
    """Return by name whether each namespace can be made."""

    def error_of(flag: int) -> str | None:
        return _in_child(lambda: kernel.try_unshare(flag, in_user_namespace=in_user_namespace))

    return {row.name: Trial(error=error_of(row.flag)) for row in TABLE}


def _directory_without_mounts(mounts: tuple[Mount, ...]) -> str:
    """Return a directory of the root that has no mounts below it."""
    for path in _LOWER_CANDIDATES:
        plain = os.path.isdir(path) and not os.path.islink(path)
        if plain and not derived.overmounts(mounts, path):
            return path
    return "/"


def _try_overlays(directory: str, mounts: tuple[Mount, ...]) -> Overlays:
    """Return whether each kind of overlay can be made."""

    def over(lower: str, kind: kernel.Overlay) -> Trial:
        return Trial(error=_in_child(lambda: kernel.try_overlay(lower, _COVERED, kind)))

    plain = _directory_without_mounts(mounts)
    return Overlays(
        overlay=Trial(error=_try_overlay_in(directory)),
        overlay_tmpfs=over("/", kernel.Overlay.TMPFS),
        overlay_user=over("/", kernel.Overlay.USER),
        overlay_tmpfs_directory=over(plain, kernel.Overlay.TMPFS),
        overlay_user_directory=over(plain, kernel.Overlay.USER),
    )


def _try_overlay_in(directory: str) -> str | None:
    """Return the error of an overlay whose upper layer is in a directory, which is left as it was.

    What a killed trial left there is removed by the next one.
    """
    scratch = os.path.join(directory, f"trial-{get_native_id()}")
    try:
        _make_private(directory)
        _remove_abandoned(directory)
        for name in ("", "upper", "work"):
            os.mkdir(os.path.join(scratch, name), 0o700)
    except OSError as error:
        _remove(scratch)
        return kernel.error_name(error.errno or 0)
    try:
        return _in_child(lambda: kernel.try_overlay("/", scratch, kernel.Overlay.DIRECTORY))
    finally:
        _remove(scratch)


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


def _load(path: str, fingerprint: str) -> Outcomes | None:
    """Return the outcomes in a file; None unless it is ours alone, whole and of this key."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        facts = os.fstat(fd)
        ours = stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid()
        if not ours or facts.st_mode & 0o022:
            return None
        outcomes = msgspec.json.decode(
            reading.read_descriptor(fd, _FILE_LIMIT_BYTES), type=Outcomes
        )
    except (OSError, msgspec.DecodeError):
        return None
    finally:
        os.close(fd)
    return outcomes if outcomes.fingerprint == fingerprint else None


def _write(directory: str, path: str, text: bytes) -> None:
    """Replace a file as a whole. Raises OSError."""
    _make_private(directory)
    temporary = f"{path}.{get_native_id()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            if os.write(fd, text) != len(text):
                raise OSError(errno.ENOSPC, "no space left on device")
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _forget_old(directory)


def _make_private(directory: str) -> None:
    """Make a directory and those above it that are missing, for us alone. Raises OSError."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_private(os.path.dirname(directory))
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)


def _forget_old(directory: str) -> None:
    """Remove the oldest files of a directory that holds too many. Raises OSError."""
    paths = [entry.path for entry in os.scandir(directory)]
    if len(paths) > _FILES_LIMIT:
        for path in sorted(paths, key=lambda path: os.lstat(path).st_mtime)[:-_FILES_LIMIT]:
            os.unlink(path)
