"""The containers below one root directory: claimed, loaded, listed, locked."""

from __future__ import annotations

import fcntl
import os

from nestbox.errors import StateError, reason
from nestbox.oci.names import check_container_id
from nestbox.runtime.directories import (
    LOCK,
    NEW,
    NOT_A_CONTAINER,
    already_exists,
    check_root,
    make_claimed,
    open_root,
    remove_unfinished,
    unusable,
)
from nestbox.runtime.oci.container import CONFIG, READ, STATE, Container, Held, unreadable
from nestbox.runtime.oci.state import State

_MAXIMUM_STATE_BYTES = 16 << 20


class NoContainer(StateError):
    """There is no container of this id. Callers match the words "does not exist"."""


class Store:
    """The containers below one root directory."""

    def __init__(self, root: str) -> None:
        self.root = root

    def claim(self, state: State, configuration: bytes) -> Held:
        """Make a container's directory, locked, with its state in it.

        Raises:
            StateError: there is one of this id, or the root cannot be used.
        """
        open_root(self.root)
        for name in os.listdir(self.root):
            if name.startswith(NEW):
                remove_unfinished(os.path.join(self.root, name))
        files = {STATE: state.to_json(), CONFIG: configuration}
        return Held(self.root, state.id, make_claimed(self.root, state.id, files))

    def check_unused(self, container: str) -> None:
        """Refuse an id that is used, before anything is looked at. Raises StateError."""
        if os.path.lexists(os.path.join(self.root, check_id(container), STATE)):
            raise already_exists(container)

    def load(self, container: str) -> Container:
        """Return a container.

        Raises:
            NoContainer: there is none of this id.
            StateError: what is kept of it cannot be read.
        """
        path = os.path.join(self.root, check_id(container), STATE)
        check_root(self.root)
        try:
            fd = os.open(path, READ)
            with open(fd, "rb") as file:
                data = file.read(_MAXIMUM_STATE_BYTES)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise no_container(container, self.root) from error
        except OSError as error:
            raise unreadable(path, reason(error)) from error
        try:
            state = State.from_json(data)
        except ValueError as error:
            raise unreadable(path, f"it is damaged: {error}") from error
        if state.id != container:
            raise unreadable(path, f"it is the state of {state.id[:80]!r}")
        return Container(self.root, state)

    def names(self) -> list[str]:
        """Return the ids of all containers in alphabetical order; none without a root."""
        try:
            names = os.listdir(self.root)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise unusable(self.root, error) from error
        return sorted(
            name
            for name in names
            if not name.startswith((NEW, NOT_A_CONTAINER))
            and os.path.isdir(os.path.join(self.root, name))
        )

    def hold(self, container: str, *, wait: bool = True) -> Held:
        """Take the lock of a container; whoever changes a container has it.

        Raises:
            NoContainer: there is none of this id, or it went while we waited.
            StateError: somebody else has it and we are not to wait.
        """
        path = os.path.join(self.root, check_id(container), LOCK)
        check_root(self.root)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise no_container(container, self.root) from error
        except OSError as error:
            raise unreadable(path, reason(error)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(lock)
            raise StateError(
                f'cannot change the container "{container}"',
                cause="another command is changing it",
                remedy="wait for that one",
            ) from error
        if os.fstat(lock).st_nlink == 0:
            os.close(lock)
            raise no_container(container, self.root)
        return Held(self.root, container, lock)


def check_id(container: str) -> str:
    """Return the id. Raises UsageError when it is none: it names a directory and a cgroup."""
    check_container_id(container)
    return container


def no_container(container: str, root: str) -> NoContainer:
    """Return the error for an id that no container has."""
    return NoContainer(
        f'cannot find the container "{container}"',
        cause=f"container does not exist in {root}",
        remedy="list what there is with the command list, or name another --root",
    )
