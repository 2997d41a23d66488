"""The network of one launch at the stages of the launch; most have none, and load nothing here."""

from __future__ import annotations

from nestbox.plan.steps import SYNC_NETWORK, SYNC_NETWORK_NAMESPACE
from nestbox.policy.launch_spec import LaunchSpec
from nestbox.runtime.record import ConnectedNetwork
from nestbox.runtime.state import Claim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nestbox.runtime.network.connection import Connection


class Attachment:
    """What connects a container, if anything does. ``close`` has to be called in any case.

    ``table`` is the name of its nftables table, for the state that is written before it exists.
    """

    def __init__(self, launch: LaunchSpec) -> None:
        self._spec = launch.network
        self._new_user_namespace = "user" in launch.namespaces
        self._connection: Connection | None = None
        self.connected: ConnectedNetwork | None = None
        self.table = ""
        if launch.network is not None and launch.network.rung == "veth":
            from nestbox.runtime.network.nft import new_table

            self.table = new_table()

    def reserve(self, held: Claim) -> None:
        """Take what is needed before there is a container: its ports. Raises LaunchError."""
        if self._spec is None:
            return
        from nestbox.runtime.network.connection import Connection

        self._connection = Connection(
            self._spec, directory=held.directory, table=self.table, keep=held.write_helper
        )

    def at_sync(self, reason: str, pid: int) -> tuple[str, ...]:
        """Do what the executor, the process of this number, waits for; return what to tell.

        Raises:
            LaunchError: it cannot be done.
        """
        if self._connection is None:
            return ()
        if reason == SYNC_NETWORK_NAMESPACE:
            self._connection.enter(pid, new_user_namespace=self._new_user_namespace)
        if reason == SYNC_NETWORK:
            self.connected = self._connection.finish()
            return self._chosen_ports(self.connected)
        return ()

    def _chosen_ports(self, connected: ConnectedNetwork) -> tuple[str, ...]:
        """Return a line for each port that was left open to be any."""
        asked_for = () if self._spec is None else self._spec.ports
        return tuple(
            f"nestbox: the port {made.inner}/{made.protocol} of the container is "
            f"{made.address or '0.0.0.0'}:{made.outer}"
            for asked, made in zip(asked_for, connected.ports, strict=True)
            if not asked.outer
        )

    def is_lost(self) -> bool:
        """Return whether the program that connects the container ended before it."""
        return self._connection is not None and self._connection.is_lost()

    def close(self) -> None:
        """Take the network away. Raises OSError when a part of it cannot be removed."""
        if self._connection is not None:
            self._connection.close()
