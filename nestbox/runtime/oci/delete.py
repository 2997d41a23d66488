"""delete: remove a container that has stopped, or with force any."""

from __future__ import annotations

import os

from nestbox.errors import StateError
from nestbox.runtime.directories import remove_empty
from nestbox.runtime.oci.container import CREATED, CREATING, STOPPED, Container, Held
from nestbox.runtime.oci.destroy import destroy
from nestbox.runtime.oci.store import NoContainer, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.requests import Log


def delete(root: str, container_id: str, *, force: bool, log: Log) -> None:
    """Remove a container and all that exists because of it.

    A created one is ended first, as by runc; with ``force`` a running one too, and one that does
    not exist is no failure.

    Raises:
        NoContainer: there is none of this id.
        StateError: it is running, or its state cannot be read.
        LaunchError: something of it cannot be removed; its state stays.
    """
    store = Store(root)
    try:
        held = store.hold(container_id)
    except NoContainer:
        if not force:
            raise
        # A command that was killed may have left the directory, empty and without a lock.
        remove_empty(os.path.join(root, container_id))
        return
    try:
        container = _load(store, container_id, held, force)
        if container is not None:
            _check(container, force)
            destroy(container, held, log)
    finally:
        held.let_go()


def _load(store: Store, container_id: str, held: Held, force: bool) -> Container | None:
    """Return the container; with force one whose state is damaged is removed right here."""
    try:
        return store.load(container_id)
    except StateError:
        if not force:
            raise
        from nestbox.runtime.oci.salvage import salvage

        salvage(held)
        return None


def _check(container: Container, force: bool) -> None:
    """Refuse what still runs. Callers match the words "that is not stopped"."""
    status = container.status()
    if force or status in {STOPPED, CREATED, CREATING}:
        return
    raise StateError(
        f"cannot delete container {container.id} that is not stopped: {status}",
        cause="its first process is alive",
        remedy="kill it first, or delete it with --force",
    )
