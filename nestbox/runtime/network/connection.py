"""The network of one container: connected while the executor waits, taken away at its end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import msgspec

from nestbox.errors import LaunchError, reason
from nestbox.policy.launch_spec import NetworkSpec
from nestbox.policy.network_addresses import Pair
from nestbox.runtime.network import nft
from nestbox.runtime.network.helper import Helper
from nestbox.runtime.network.ports import Reservation
from nestbox.runtime.network.programs import (
    SLIRP_ADDRESS,
    pasta_arguments,
    publish_with_slirp,
    slirp_arguments,
)
from nestbox.runtime.processes import Process, require_own_proc
from nestbox.runtime.record import ConnectedNetwork, Port

_READY = "pasta.pid"  # as pasta's profile of AppArmor lets it write to
_SOCKET = "slirp4netns.sock"


class Connection:
    """The network of one container on its way; ``close`` has to be called in any case.

    ``directory`` is the container's own, ``table`` the name of its nftables table, which its state
    holds already; ``keep`` records a program that was started.
    """

    def __init__(
        self, spec: NetworkSpec, *, directory: str, table: str, keep: Callable[[Process], None]
    ) -> None:
        """Take the ports that are to be published. Raises LaunchError."""
        self._reservation = Reservation(spec.ports)
        self._spec = msgspec.structs.replace(spec, ports=self._reservation.ports)
        self._directory = directory
        self._held = -1  # the directory as a descriptor, by which the name of a socket is short
        self._table = table
        self._keep = keep
        self._helper: Helper | None = None
        self._leave = -1
        self._namespace = -1
        self._has_table = False

    def enter(self, pid: int, *, new_user_namespace: bool) -> None:
        """Take hold of the network of the executor, which waits; start what connects it.

        Raises:
            LaunchError: the namespace cannot be opened, or the program cannot be started.
        """
        require_own_proc()
        if self._spec.rung == "veth":
            self._namespace = _open(pid)
            return
        # It binds the ports itself.
        self._reservation.close()
        try:
            start = self._start_pasta if self._spec.rung == "pasta" else self._start_slirp
            self._helper = start(pid, new_user_namespace)
        except OSError as error:
            raise _not_prepared(error) from error
        process = self._helper.process
        if process is not None:
            self._keep(process)

    def _start_pasta(self, pid: int, user: bool) -> Helper:
        path = os.path.join(self._directory, _READY)
        os.mkfifo(path, 0o600)
        ready = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        arguments = pasta_arguments(self._spec, pid, path, user=user)
        return Helper("pasta", arguments, ready=ready)

    def _start_slirp(self, pid: int, _: bool) -> Helper:
        end, self._leave = os.pipe2(os.O_CLOEXEC)
        ready, told = os.pipe2(os.O_CLOEXEC)
        socket = ""
        try:
            if self._spec.ports:
                self._held = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                socket = _SOCKET
            arguments = slirp_arguments(self._spec, pid, end, socket, told)
            # It starts in the directory of its socket and does not get it: a descriptor would lead
            # out of its sandbox.
            return Helper(
                "slirp4netns", arguments, ready=ready, kept=(end, told), directory=self._held
            )
        finally:
            os.close(end)
            os.close(told)

    def _socket(self) -> str:
        """Return a short path of slirp4netns' socket."""
        return f"/proc/self/fd/{self._held}/{_SOCKET}"

    def finish(self) -> ConnectedNetwork:
        """Connect the network, or wait until the program has. Raises LaunchError."""
        address = self._connect_link() if self._helper is None else self._wait_for(self._helper)
        self._close_namespace()
        return ConnectedNetwork(
            rung=self._spec.rung,
            address=address,
            ports=tuple(
                Port(
                    protocol=port.protocol,
                    address=port.address,
                    outer=port.outer,
                    inner=port.inner,
                )
                for port in self._spec.ports
            ),
        )

    def _connect_link(self) -> str:
        from nestbox.runtime.network.veth import connect

        pair = connect(
            self._namespace,
            guard=self._add_table,
            turn_on_forwarding=self._spec.turn_on_forwarding,
            from_loopback=self._spec.from_loopback,
        )
        return pair.inner

    def _add_table(self, pair: Pair) -> None:
        self._has_table = True
        nft.add_table(self._spec.program, self._table, pair, self._spec.ports)

    def _wait_for(self, helper: Helper) -> str:
        helper.wait_until_ready()
        if self._spec.rung == "pasta":
            return ""
        for port in self._spec.ports:
            publish_with_slirp(self._socket(), port)
        return SLIRP_ADDRESS

    def is_lost(self) -> bool:
        """Return whether the program that connects the container is gone before its end."""
        return self._helper is not None and self._helper.has_failed()

    def close(self) -> None:
        """Take the network away. Raises OSError when the table cannot be removed."""
        self._close_namespace()
        self._reservation.close()
        for fd in (self._leave, self._held):
            if fd >= 0:
                os.close(fd)
        self._leave = self._held = -1
        if self._helper is not None:
            self._helper.end()
            self._helper = None
        for name in (_READY, _SOCKET):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, name))
        if self._has_table:
            nft.remove_table(self._table)
            self._has_table = False

    def _close_namespace(self) -> None:
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1


def _open(pid: int) -> int:
    """Open the network namespace of a process. Raises LaunchError."""
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(
            "cannot open the container's network namespace",
            cause=reason(error),
            remedy="let this process read /proc of its children: check the security module",
        ) from error


def _not_prepared(error: OSError) -> LaunchError:
    return LaunchError(
        "cannot prepare the container's network",
        cause=reason(error),
        remedy="free some space in the state directory, and allow more open files (ulimit -n)",
    )
