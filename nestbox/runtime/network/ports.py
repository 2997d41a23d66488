"""Ports of the outer network that are kept for a container: bound by us, so nobody has them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import msgspec

from nestbox.errors import LaunchError, reason

if TYPE_CHECKING:
    import socket

    from nestbox.policy.launch_spec import PortSpec

_REMEDIES = {
    errno.EADDRINUSE: "publish another port, or end what has it: ss -lntup",
    errno.EADDRNOTAVAIL: "use an address of this machine, or none for all of them",
    errno.EACCES: "publish a port above 1023",
    errno.EMFILE: "publish fewer ports, or allow more open files (ulimit -n)",
}


class Reservation:
    """Ports as they are, those that could be any chosen; held until ``close``."""

    def __init__(self, ports: tuple[PortSpec, ...]) -> None:
        """Take the ports. Raises LaunchError with none of them taken."""
        self._sockets: list[socket.socket] = []
        self.ports: tuple[PortSpec, ...] = ()
        try:
            self.ports = tuple(self._take(port) for port in ports)
        except LaunchError:
            self.close()
            raise

    def _take(self, port: PortSpec) -> PortSpec:
        import socket

        kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
        try:
            bound = socket.socket(socket.AF_INET, kind)
            self._sockets.append(bound)
            if port.protocol == "tcp":
                # What was closed a minute ago is no obstacle; who listens keeps others away.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((port.address, port.outer))
            if port.protocol == "tcp":
                bound.listen(0)
        except OSError as error:
            raise LaunchError(
                f"cannot publish the port {port.outer}/{port.protocol}",
                cause=f"{port.address or 'every address'}: {reason(error)}",
                remedy=_REMEDIES.get(error.errno or 0, "publish another port"),
            ) from error
        return msgspec.structs.replace(port, outer=bound.getsockname()[1])

    def close(self) -> None:
        """Let go of them."""
        for bound in self._sockets:
            bound.close()
        self._sockets = []
