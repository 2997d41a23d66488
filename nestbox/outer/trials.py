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

from nestbox.kernel import reading
from nestbox.kernel import trials as kernel
from nestbox.kernel.namespaces import FLAG, TABLE
from nestbox.outer import derived
from nestbox.outer.facts import Mount, Storage, Trial
from nestbox.outer.overlays import (
    Overlays,
    Stack,
    free_bytes,
    stacked,
    try_overlays,
    try_stack,
)
from nestbox.outer.throwaway import in_child, make_private

_Value = TypeVar("_Value")

_FILES_LIMIT = 64  # environments that are remembered, the newest
_FILE_LIMIT_BYTES = 1 << 18

# A directory that every environment has; a trial covers it in a mount namespace of its own.
_COVERED = "/proc"


# Type, the namespaces that it shows, and whether it is mounted read-only.
_FRESH = {
    "proc": ("proc", FLAG["pid"], False),
    "sysfs": ("sysfs", FLAG["net"], False),
    "mqueue": ("mqueue", FLAG["ipc"], False),
    "devpts": ("devpts", 0, False),
}


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was tried in one environment; None was not tried yet."""

    fingerprint: str
    create: dict[str, Trial] | None = None
    create_with_user: dict[str, Trial] | None = None
    user_steps: dict[str, Trial] | None = None
    mount: dict[str, Trial] | None = None
    mount_with_user: dict[str, Trial] | None = None
    mknod: Trial | None = None
    network: dict[str, Trial] | None = None  # "veth" and "nftables"
    overlays: dict[str, Overlays] = {}  # by state directory
    stacks: dict[str, Stack] = {}  # by number and device of a mount


class Trials:
    """The outcomes for one environment: read from the file, or tried when first asked for."""

    def __init__(self, state_directory: str, fingerprint: str) -> None:
        self._state_directory = os.path.abspath(state_directory)
        self._directory = os.path.join(self._state_directory, "facts")
        self._path = os.path.join(self._directory, f"{fingerprint}.json")
        self._outcomes = _load(self._path, fingerprint) or Outcomes(fingerprint=fingerprint)
        self._changed = False
        self._fresh: dict[str, dict[str, Trial]] = {}  # tried by this object

    def _keep(self, **outcomes: object) -> None:
        """Remember what was tried just now."""
        self._outcomes = msgspec.structs.replace(self._outcomes, **outcomes)
        self._changed = True

    def namespaces(self) -> tuple[dict[str, Trial], dict[str, Trial]]:
        """Return which namespaces can be made with our rights, and with a new user namespace.

        One that could not be made is tried again each time, unless a kernel without it, or a
        capability, decided: a sysctl or a profile that stopped it may have been changed since, and
        is no part of the fingerprint.
        """
        known = self._outcomes
        create = self._tried(
            "create",
            known.create,
            lambda: _try_namespaces(in_user_namespace=False),
            final=frozenset({"EINVAL", "EPERM"}),
        )
        with_user = self._tried(
            "create_with_user",
            known.create_with_user,
            lambda: _try_namespaces(in_user_namespace=True),
        )
        return create, with_user

    def mounts(self, *, in_user_namespace: bool) -> dict[str, Trial]:
        """Return which file systems of the kernel can be mounted, as `namespaces` are made.

        One that could not be is tried again, as what covers the outer one may be gone.
        """
        name = "mount_with_user" if in_user_namespace else "mount"
        known: dict[str, Trial] = getattr(self._outcomes, name) or {}
        return self._tried(
            name,
            known or None,
            lambda: _try_mounts(
                in_user_namespace=in_user_namespace,
                known={key: trial for key, trial in known.items() if trial.works},
            ),
            frozenset({"EINVAL", "ENODEV"}),
        )

    def user_steps(self) -> dict[str, Trial]:
        """Return the steps to a user namespace of use, up to the first that fails."""
        return self._tried(
            "user_steps", self._outcomes.user_steps, lambda: _trials(kernel.try_user_steps)
        )

    def network(self, attempt: Callable[[], dict[str, Trial]]) -> dict[str, Trial]:
        """Return what this kernel has of a link to a container; `attempt` asks it.

        What it lacks is asked for again: a module may have been loaded since.
        """
        return self._tried("network", self._outcomes.network, attempt, frozenset())

    def _tried(
        self,
        name: str,
        known: dict[str, Trial] | None,
        attempt: Callable[[], dict[str, Trial]],
        final: frozenset[str] = frozenset({"EINVAL"}),
    ) -> dict[str, Trial]:
        """Return outcomes that are kept while each of them is good, or an error that is final."""
        if name not in self._fresh:
            good = known is not None and all(
                trial.error is None or trial.error in final for trial in known.values()
            )
            self._fresh[name] = known if known is not None and good else attempt()
            if self._fresh[name] != known:
                self._keep(**{name: self._fresh[name]})
        return self._fresh[name]

    def syscalls(self, *, can_setgroups: bool) -> dict[str, Trial]:
        """Return how the system calls are answered that a launch needs, or libraries like.

        Never kept: two filters can be alike in all that a fingerprint covers.
        """
        if "syscalls" not in self._fresh:
            self._fresh["syscalls"] = _trials(
                lambda: kernel.try_syscalls(can_setgroups=can_setgroups)
            )
        return self._fresh["syscalls"]

    @staticmethod
    def fallbacks(tried: dict[str, Trial]) -> dict[str, Trial]:
        """Return the outcomes of the calls that no launch needs."""
        names = kernel.fallback_names()
        return {name: trial for name, trial in tried.items() if name in names}

    def mknod(self) -> Trial:
        """Return whether a device node can be made and opened."""
        if self._outcomes.mknod is None:
            self._keep(mknod=Trial(error=in_child(lambda: kernel.try_mknod(_COVERED))))
        return self._outcomes.mknod or Trial(error=None)

    def storage(self, mounts: tuple[Mount, ...]) -> Storage:
        """Return what a root can be made from, with the upper layer in the state directory."""
        directory = self._state_directory
        overlays = self._outcomes.overlays.get(_text(directory))
        if overlays is None:
            overlays = try_overlays(directory, mounts)
            self._keep(overlays={**self._outcomes.overlays, _text(directory): overlays})
        full, full_user = self._full(mounts, overlays)
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
            bare=overlays.bare,
            bare_user=overlays.bare_user,
            full=full,
            full_user=full_user,
            overlay_user_state=overlays.overlay_user_state,
            reflink=overlays.reflink,
            free_bytes=free_bytes(directory),
        )

    def _full(
        self, mounts: tuple[Mount, ...], overlays: Overlays
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the targets of the mounts over which no overlay can be made."""
        full: list[str] = []
        full_user: list[str] = []
        for ones in stacked(mounts):
            key = f"{ones[0].id} {ones[0].device}"
            stack = self._outcomes.stacks.get(key)
            if stack is None:
                stack = try_stack(ones, mounts)
                self._keep(stacks={**self._outcomes.stacks, key: stack})
            targets = [mount.target for mount in ones]
            if overlays.bare.works and not stack.own.works:
                full += targets
            if overlays.bare_user.works and not stack.user.works:
                full_user += targets
        return tuple(full), tuple(full_user)

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
    for group in (
        outcomes.create,
        outcomes.create_with_user,
        outcomes.user_steps,
        outcomes.mount,
        outcomes.mount_with_user,
        outcomes.network,
    ):
        yield from (group or {}).values()
    if outcomes.mknod is not None:
        yield outcomes.mknod
    for kind in (*outcomes.overlays.values(), *outcomes.stacks.values()):
        yield from (getattr(kind, name) for name in kind.__struct_fields__)


def _trials(attempt: Callable[[], dict[str, str | None]]) -> dict[str, Trial]:
    """Return the outcomes of several trials by name. Raises EnvironmentUnreadable."""
    return {name: Trial(error=error) for name, error in in_child(attempt).items()}


def _try_namespaces(*, in_user_namespace: bool) -> dict[str, Trial]:
    """Return by name whether each namespace can be made."""

    def error_of(flag: int) -> str | None:
        return in_child(lambda: kernel.try_unshare(flag, in_user_namespace=in_user_namespace))

    return {row.name: Trial(error=error_of(row.flag)) for row in TABLE}


def _try_mounts(*, in_user_namespace: bool, known: dict[str, Trial]) -> dict[str, Trial]:
    """Return by name whether each file system of the kernel can be mounted, as far as not known."""

    def tried(name: str, fstype: str, flags: int, readonly: bool) -> Trial:
        return known.get(name) or Trial(
            error=in_child(
                lambda: kernel.try_fresh(
                    fstype, flags, readonly=readonly, in_user_namespace=in_user_namespace
                )
            )
        )

    found = {name: tried(name, *row) for name, row in _FRESH.items()}
    if not found["sysfs"].works:
        # A user namespace gets what is read-only outside in no other way.
        found["sysfs ro"] = tried("sysfs ro", "sysfs", FLAG["net"], True)
    return found


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
    make_private(os.path.dirname(directory))
    make_private(directory)
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


def _forget_old(directory: str) -> None:
    """Remove the oldest files of a directory that holds too many. Raises OSError."""
    paths = [entry.path for entry in os.scandir(directory)]
    if len(paths) > _FILES_LIMIT:
        for path in sorted(paths, key=lambda path: os.lstat(path).st_mtime)[:-_FILES_LIMIT]:
            os.unlink(path)
