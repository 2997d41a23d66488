"""The kernel's view of a network namespace, ours or another one, through pyroute2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nestbox.errors import LaunchError, reason

if TYPE_CHECKING:
    import socket

_CLONE_NEWNET = 0x40000000


@contextmanager
def routes_of(namespace: int | None) -> Iterator[Any]:
    """Give links, addresses and routes of a network namespace by its descriptor; None is ours.

    Raises:
        LaunchError: the namespace cannot be entered.
    """
    from pyroute2 import IPRoute

    if namespace is None:
        with IPRoute() as routes:
            yield routes
        return
    # The library would fork a process for each socket in another namespace.
    with IPRoute(use_socket=_socket_in(namespace)) as routes:
        yield routes


def _socket_in(namespace: int) -> socket.socket:
    """Return a routing socket of another namespace, which a thread of ours visits for it."""
    import socket
    import threading

    from nestbox.kernel.syscalls import setns

    made: list[socket.socket] = []
    failed: list[OSError] = []

    def visit() -> None:
        try:
            setns(namespace, _CLONE_NEWNET)
            made.append(socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, socket.NETLINK_ROUTE))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=visit)
    thread.start()
    thread.join()
    if failed:
        raise LaunchError(
            "cannot enter the container's network namespace to set up interfaces",
            cause=reason(failed[0]),
            remedy="run with CAP_SYS_ADMIN, or leave the container's network to another program",
        )
    return made[0]
