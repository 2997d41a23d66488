"""run: create, start, and unless detached attend the container to its end and delete it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from nestbox.errors import NestboxError
from nestbox.runtime.oci.attend import attend, forwarded_signals
from nestbox.runtime.oci.container import Held
from nestbox.runtime.oci.create import Created, held_creation
from nestbox.runtime.oci.destroy import destroy
from nestbox.runtime.oci.requests import CreateRequest, Log, Options, RunMode
from nestbox.runtime.oci.start import notify_socket, start_held
from nestbox.runtime.oci.store import NoContainer, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.oci.notify import NotifySocket

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def run(request: CreateRequest, mode: RunMode, options: Options, log: Log) -> int:
    """Run a container; return its exit status (128 + n for signal n), 0 for a detached one.

    Raises:
        NestboxError: it cannot be created or started; nothing is left behind.
    """
    if not mode.detach and not mode.no_subreaper:
        # What the container leaves as an orphan without a pid namespace is ours to reap.
        from nestbox.kernel.syscalls import prctl

        prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if mode.detach:
        with _started(request, options, log, keep_master=False) as (created, notify):
            if notify is not None:
                notify.forward(created.pid, log)
                notify.close()
            os.close(created.pidfd)
            return 0
    with (
        forwarded_signals() as forwarding,
        _started(request, options, log, keep_master=True) as (created, notify),
    ):
        if notify is not None:
            notify.forward_in_background(os.getpid(), log)
        status = attend(created.pid, created.pidfd, created.master, forwarding)
    if not mode.keep:
        _delete(options.root, request.id, log)
    return status


@contextlib.contextmanager
def _started(
    request: CreateRequest, options: Options, log: Log, *, keep_master: bool
) -> Iterator[tuple[Created, NotifySocket | None]]:
    """Give a container that runs; whoever wants to pause or enter it has its lock to take.

    With it comes the socket at which it tells that it is ready, when a service manager waits.
    """
    with held_creation(request, options, log, keep_master=keep_master) as (created, held):
        with _deleted_on_failure(created, held, log):
            notify = notify_socket(created.container)
            start_held(created.container, log)
        held.let_go()
        yield created, notify


@contextlib.contextmanager
def _deleted_on_failure(created: Created, held: Held, log: Log) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(NestboxError):
            destroy(created.container, held, log)
        raise


def _delete(root: str, container_id: str, log: Log) -> None:
    """Remove the container; somebody else may have done so."""
    store = Store(root)
    with contextlib.suppress(NoContainer):
        held = store.hold(container_id)
        try:
            destroy(store.load(container_id), held, log)
        finally:
            held.let_go()
