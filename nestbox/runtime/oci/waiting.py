"""The socket at which a created container waits for its start: bound, and connected to.

A name has room for 108 bytes (unix(7)), and the directory of a container may be deep: so the socket
is named through a descriptor of that directory.
"""

from __future__ import annotations

import os

from nestbox.errors import LaunchError, reason
from nestbox.runtime.oci.container import SOCKET, SOCKET_NEW


def listen(directory_path: str) -> int:
    """Return the listening socket in the directory of a new container. Raises LaunchError."""
    import _socket

    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    directory = os.open(directory_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name = f"/proc/self/fd/{directory}/{SOCKET_NEW}"
        server.bind(name)
        # Who connects is known to the executor by ids of its own user namespace alone.
        os.chmod(name, 0o600)
        server.listen(1)
    except OSError as error:
        server.close()
        raise LaunchError(
            "cannot make the socket at which the container waits for its start",
            cause=reason(error),
            remedy="choose a root on a file system that has sockets with --root",
        ) from error
    finally:
        os.close(directory)
    return server.detach()


def connect(directory_path: str) -> int:
    """Return a connection to the executor that waits in this directory. Raises OSError."""
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    directory = os.open(directory_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection.detach()
